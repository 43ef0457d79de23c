"""Requests to addresses that users name, which must not become requests to what only this machine can reach.

An address is read once, by us; its name is resolved once; each address that it stands for must be public; and the one
that was looked at is the one that is connected to. No proxy, no redirect, no environment has a say.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SECONDS = 10.0
"""For all of a request together, about: each of connecting, sending and waiting."""
_HOST = re.compile(r"(?=.{1,253}\Z)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMERIC = re.compile(r"(0x[0-9a-f]*|[0-9]+)\Z")
_INSIDE = tuple(  # networks that carry another address within, or lead somewhere nobody expects
    ipaddress.ip_network(one)
    for one in ("::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "fec0::/10")
)


class Refused(ValueError):
    """An address that nothing is sent to."""


@dataclass(frozen=True)
class Allowed:
    """What the server's owner lets users reach though it is private."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Allowed:
        """From hosts and networks with commas between."""
        hosts, networks = set(), []
        for part in filter(None, (one.strip().lower() for one in text.split(","))):
            try:
                networks.append(ipaddress.ip_network(part, strict=False))
            except ValueError:
                hosts.add(part)
        return cls(frozenset(hosts), tuple(networks))

    def has(self, address: Address) -> bool:
        """Is an address in one of the networks?"""
        return any(address.version == network.version and address in network for network in self.networks)


@dataclass(frozen=True)
class Target:
    """An address that was read, and may be reached if what it resolves to may."""

    scheme: str
    host: str
    port: int
    path: str
    """With its query."""

    @property
    def authority(self) -> str:
        """As the header `Host` has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


_PORTS = {"https": 443, "http": 80}


def read(url: str, allowed: Allowed) -> Target:
    """Read an address strictly. Resolves nothing.

    Raises:
        Refused: it is none, or one that is refused whatever it resolves to.
    """
    if not re.fullmatch(r"[!-~]{1,2000}", url) or "\\" in url:
        raise Refused("an address has 1 to 2000 printable ASCII characters, and no backslash")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Refused("this is no address") from None
    if parts.scheme not in _PORTS:
        raise Refused("an address begins with https://")
    if "@" in parts.netloc or "#" in url or "%" in parts.netloc:
        raise Refused("an address has no user, no fragment, and no % in its host")
    host = (parts.hostname or "").removesuffix(".")
    literal = _literal(host)
    if literal is not None:
        if not (is_public(literal) or allowed.has(literal) or host in allowed.hosts):
            raise Refused(f"{host} is not public")
    elif not _HOST.fullmatch(host) or _NUMERIC.fullmatch(host.rpartition(".")[2]):
        raise Refused("this is no host name")
    if port == 0:
        raise Refused("there is no port 0")
    named = host in allowed.hosts or (literal is not None and allowed.has(literal))
    if parts.scheme == "http" and not named:
        raise Refused("an address begins with https://; http is for hosts that the server's owner has named")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port or _PORTS[parts.scheme], path)


def resolve(target: Target, allowed: Allowed) -> Address:
    """The address to connect to.

    Raises:
        Refused: the name is unknown, or one of its addresses is not public.
    """
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Refused(f"{target.host} is unknown") from None
    addresses = [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]
    for address in addresses:
        if not (is_public(address) or target.host in allowed.hosts or allowed.has(address)):
            raise Refused(f"{target.host} is not public")
    if not addresses:
        raise Refused(f"{target.host} is unknown")
    return addresses[0]


def is_public(address: Address) -> bool:
    """Can anybody reach this address, and does it lead nowhere else?"""
    if any(address.version == network.version and address in network for network in _INSIDE):
        return False
    odd = address.is_private or address.is_loopback or address.is_link_local or address.is_multicast
    return address.is_global and not (odd or address.is_reserved or address.is_unspecified)


def post(target: Target, address: Address, *, content: bytes, headers: Mapping[str, str]) -> int:
    """Send a body to the address that was looked at. Gives the status; what is answered beside it is not read.

    Raises:
        httpx.HTTPError: it could not be sent, or nothing came back in time.
    """
    literal = f"[{address}]" if address.version == 6 else str(address)
    url = f"{target.scheme}://{literal}:{target.port}{target.path}"
    told = {"Host": target.authority, "User-Agent": "feature-sieve-webhooks", **headers}
    client = httpx.Client(trust_env=False, follow_redirects=False, timeout=SECONDS)
    with (
        client,
        client.stream("POST", url, content=content, headers=told, extensions={"sni_hostname": target.host}) as answer,
    ):
        return answer.status_code


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
