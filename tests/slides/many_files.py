"""Slides of many files as scanners write them: a DICOM series and a MIRAX slide, both of JPEG tiles."""

import io
import struct

import numpy as np
import numpy.typing as npt
import PIL.Image
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, generate_uid

TILE = 256
Pixels = npt.NDArray[np.uint8]
Files = dict[str, bytes]


def dicom_series(pixels: Pixels, um_per_px: float, name: str, levels: int = 2) -> Files:
    """The files of a slide (height, width, 3), one a level, as DICOM PS3.3 A.32.8 has them; `name` is whose it is."""
    series, place = generate_uid(), generate_uid()
    found = {}
    for level in range(levels):
        size = pixels.shape[1] >> level, pixels.shape[0] >> level
        small = np.asarray(PIL.Image.fromarray(pixels).resize(size))
        found[f"IM{level:04}"] = _dicom(small, um_per_px * 2**level, (series, place), name)
    return found


def _dicom(pixels: Pixels, um_per_px: float, series: tuple[str, str], name: str) -> bytes:
    tiles = _tiles(pixels)
    instance = Dataset()
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    instance.file_meta.MediaStorageSOPClassUID = instance.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID = generate_uid()
    instance.SeriesInstanceUID, instance.FrameOfReferenceUID = series
    instance.StudyInstanceUID = series[0]
    instance.Modality, instance.PatientName = "SM", name
    instance.ImageType = ["ORIGINAL" if um_per_px < 0.15 else "DERIVED", "PRIMARY", "VOLUME", "NONE"]
    _describe(instance, pixels.shape[:2], um_per_px)
    instance.NumberOfFrames = len(tiles)
    instance.PixelData = encapsulate(tiles)
    instance["PixelData"].VR = "OB"
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, instance, enforce_file_format=True)
    return buffer.getvalue()


def _describe(instance: Dataset, shape: tuple[int, ...], um_per_px: float) -> None:
    instance.Rows = instance.Columns = TILE
    instance.TotalPixelMatrixRows, instance.TotalPixelMatrixColumns = shape
    instance.DimensionOrganizationType = "TILED_FULL"
    instance.SamplesPerPixel, instance.PhotometricInterpretation = 3, "YBR_FULL_422"
    instance.PlanarConfiguration = instance.PixelRepresentation = 0
    instance.BitsAllocated = instance.BitsStored = 8
    instance.HighBit = 7
    measures = Dataset()
    measures.PixelSpacing = [um_per_px / 1000] * 2
    shared = Dataset()
    shared.PixelMeasuresSequence = [measures]
    instance.SharedFunctionalGroupsSequence = [shared]


def _tiles(pixels: Pixels) -> list[bytes]:
    found = []
    for top in range(0, pixels.shape[0], TILE):
        for left in range(0, pixels.shape[1], TILE):
            tile = np.full((TILE, TILE, 3), 255, np.uint8)
            part = pixels[top : top + TILE, left : left + TILE]
            tile[: part.shape[0], : part.shape[1]] = part
            buffer = io.BytesIO()
            PIL.Image.fromarray(tile).save(buffer, "JPEG", quality=90, subsampling="4:2:2")
            found.append(buffer.getvalue())
    return found


def mirax(pixels: Pixels, um_per_px: float, name: str) -> Files:
    """The files of a MIRAX slide of one level: an entry, its list of sections, an index and the tiles."""
    rows, columns = -(-pixels.shape[0] // TILE), -(-pixels.shape[1] // TILE)
    data, entries = b"", []
    for number, tile in enumerate(_tiles(pixels)):
        entries.append(struct.pack("<4i", number, len(data), len(tile), 0))
        data += tile
    slide_id = "0" * 32
    start = len("01.02") + len(slide_id)
    # roots of the two lists, the one record of the first, its first page (empty, as MIRAX has it), its second page
    record, page = start + 8, start + 12
    index = b"01.02" + slide_id.encode() + struct.pack("<2i", record, 0) + struct.pack("<i", page)
    index += struct.pack("<2i", 0, page + 8) + struct.pack("<2i", len(entries), 0) + b"".join(entries)
    text = f"""[GENERAL]
SLIDE_ID = {slide_id}
SLIDE_NAME = {name}
IMAGENUMBER_X = {columns}
IMAGENUMBER_Y = {rows}
OBJECTIVE_MAGNIFICATION = 100
[HIERARCHICAL]
HIER_COUNT = 1
NONHIER_COUNT = 0
INDEXFILE = Index.dat
HIER_0_NAME = Slide zoom level
HIER_0_COUNT = 1
HIER_0_VAL_0_SECTION = LEVEL_0
[DATAFILE]
FILE_COUNT = 1
FILE_0 = Data0000.dat
[LEVEL_0]
OVERLAP_X = 0
OVERLAP_Y = 0
MICROMETER_PER_PIXEL_X = {um_per_px}
MICROMETER_PER_PIXEL_Y = {um_per_px}
IMAGE_FORMAT = JPEG
IMAGE_FILL_COLOR_BGR = 16777215
IMAGE_CONCAT_FACTOR = 0
DIGITIZER_WIDTH = {TILE}
DIGITIZER_HEIGHT = {TILE}
"""
    return {
        "case.mrxs": _tiles(pixels)[0],
        "case/Slidedat.ini": text.encode(),
        "case/Index.dat": index,
        "case/Data0000.dat": data,
    }
