"""Which network addresses webhooks may be sent to: public ones, and the private ones an installation allows."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from app.config import get_settings

Address = IPv4Address | IPv6Address


class RefusedAddressError(Exception):
    """A name stands for an address inside the lab's own network, which nobody allowed."""


def refused(address: Address | None) -> bool:
    """Say whether nothing may be sent to an address: it is private, link-local or the like, and not allowed."""
    if address is None:
        return False
    inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None) or address
    words = get_settings().webhook_networks.replace(",", " ").split()
    if any(inner in ip_network(word, strict=False) for word in words):
        return False
    return not inner.is_global or inner.is_multicast


def resolve(host: str, port: int) -> str:
    """Return the address of a host to connect to. One look decides, so that no second answer can lead elsewhere.

    Raises RefusedAddressError if any of its addresses is refused, and OSError if there is none.
    """
    found = [ip_address(str(each[4][0])) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if bad := next((each for each in found if refused(each)), None):
        raise RefusedAddressError(f"{bad} is a private address, which FIFTYCELLS_WEBHOOK_NETWORKS does not allow")
    return str(found[0])
