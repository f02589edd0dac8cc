"""Tables, one file a noun; no queries, no HTTP. Importing this package makes the metadata complete."""

from app.events import Event
from app.job import Job
from app.models.adaptation import Adaptation
from app.models.annotation import Annotation, LabelAction
from app.models.audit import AuditEvent
from app.models.batch import Batch, Ranking
from app.models.cell import Cell, Field, Image, Original
from app.models.cell_map import CellMap
from app.models.class_set import ClassSet
from app.models.classifier import Classifier
from app.models.encoder import Embedding, Encoder
from app.models.idempotency import IdempotencyKey
from app.models.mapping import ClassMapping
from app.models.pack import Pack
from app.models.pretraining import Pretraining
from app.models.preview import ActivationPreview
from app.models.project import CellClass, Member, Project
from app.models.reading import Reading
from app.models.report import Report, Reporting, Signature
from app.models.scanner import Scanner
from app.models.slide import Refusal, Slide, SlideState, Upload, UploadPart
from app.models.user import ApiToken, Invitation, SignIn, User
from app.models.watching import Alarm, ControlRun, WatchedDay, WatchReference
from app.models.webhook import Delivery, DeliveryAttempt, Webhook

__all__ = [
    "ActivationPreview",
    "Adaptation",
    "Alarm",
    "Annotation",
    "ApiToken",
    "AuditEvent",
    "Batch",
    "Cell",
    "CellClass",
    "CellMap",
    "ClassMapping",
    "ClassSet",
    "Classifier",
    "ControlRun",
    "Delivery",
    "DeliveryAttempt",
    "Embedding",
    "Encoder",
    "Event",
    "Field",
    "IdempotencyKey",
    "Image",
    "Invitation",
    "Job",
    "LabelAction",
    "Member",
    "Original",
    "Pack",
    "Pretraining",
    "Project",
    "Ranking",
    "Reading",
    "Refusal",
    "Report",
    "Reporting",
    "Scanner",
    "SignIn",
    "Signature",
    "Slide",
    "SlideState",
    "Upload",
    "UploadPart",
    "User",
    "WatchReference",
    "WatchedDay",
    "Webhook",
]
