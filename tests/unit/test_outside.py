"""Addresses that users name: nothing private is ever connected to, however it is written."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import socket
import threading
from collections.abc import Iterator

import pytest

from api import outside
from api.courier import signed
from api.outside import Allowed, Refused

NOBODY = Allowed()

LITERALS = [
    "https://127.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0x0.0x0.0x1/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://0177.0.0.01/",
    "https://00000177.0.0.1/",
    "https://127.000.000.001/",
    "https://0/",
    "https://0.0.0.0/",
    "https://[::]/",
    "https://[::1]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b::10.0.0.1]/",
    "https://[64:ff9b:1::a00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:a00:1::1]/",
    "https://[2001:0:4136:e378:8000:63bf:f5ff:fffe]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fec0::1]/",
    "https://[fc00::1]/",
    "https://[fd12:3456::1]/",
    "https://[ff02::1]/",
    "https://10.0.0.1/",
    "https://10.255.255.254/",
    "https://172.16.0.1/",
    "https://172.31.255.254/",
    "https://192.168.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://0xa9fea9fe/",
    "https://2852039166/",
    "https://0251.0376.0251.0376/",
    "https://[::ffff:169.254.169.254]/",
    "https://100.64.0.1/",
    "https://192.0.0.1/",
    "https://192.0.2.1/",
    "https://198.18.0.1/",
    "https://198.51.100.1/",
    "https://203.0.113.1/",
    "https://224.0.0.1/",
    "https://239.255.255.255/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://user@127.0.0.1/",
    "https://example.org@127.0.0.1/",
    "https://example.org:443@127.0.0.1/",
    "https://127.0.0.1#@example.org/",
    "https://example.org\\@127.0.0.1/",
    "https:\\\\127.0.0.1/",
    "https://127.0.0.1\\.example.org/",
    "https://127.0.0.1%2f@example.org/",
    "https://example.org%00.127.0.0.1/",
    "https://%31%32%37.0.0.1/",
    "https://①②⑦.⓪.⓪.①/",
    "https://127。0。0。1/",
    "http://127.0.0.1/",
    "http://example.org/",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
    "dict://127.0.0.1:6379/",
    "//127.0.0.1/",
    "https:/127.0.0.1/",
    "https:127.0.0.1",
    "https:///127.0.0.1/",
    "https://[127.0.0.1]/",
    "https://[::1",
    "https://127.0.0.1:99999/",
    "https://127.0.0.1:0/",
    "https://",
    "javascript:alert(1)",
    "https://-example.org/",
    "https://exa_mple..org/",
    "https://1.2.3.4.5/",
]
"""None of these is even resolved."""

NAMES = {
    "localhost": ["127.0.0.1"],
    "localhost.": ["127.0.0.1"],
    "loopback.attacker.example": ["127.0.0.1"],
    "metadata.attacker.example": ["169.254.169.254"],
    "lan.attacker.example": ["192.168.1.1"],
    "six.attacker.example": ["::1"],
    "mapped.attacker.example": ["::ffff:10.0.0.1"],
    "scoped.attacker.example": ["fe80::1%lo"],
    "nat64.attacker.example": ["64:ff9b::7f00:1"],
    "sixtofour.attacker.example": ["2002:7f00:1::"],
    "mixed.attacker.example": ["93.184.216.34", "127.0.0.1"],
    "mixed6.attacker.example": ["2606:2800:220:1:248:1893:25c8:1946", "fd00::1"],
    "unspecified.attacker.example": ["0.0.0.0"],
    "carrier.attacker.example": ["100.64.1.1"],
    "everybody.attacker.example": ["255.255.255.255"],
    "xn--bcher-kva.attacker.example": ["10.1.2.3"],
}
"""Names of an attacker's, and what their server answers."""


@pytest.fixture
def trap() -> Iterator[tuple[int, list[str]]]:
    """Listens on this machine, and notes who connects."""
    caught: list[str] = []
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.1)
    ended = threading.Event()

    def listen() -> None:
        while not ended.is_set():
            try:
                connection, address = server.accept()
            except TimeoutError:
                continue
            caught.append(str(address))
            asked = connection.recv(65536).decode("latin-1")
            caught.append(asked)
            status = "302 Found\r\nLocation: http://127.0.0.1/" if "/redirect" in asked else "204 No Content"
            connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            connection.close()

    thread = threading.Thread(target=listen)
    thread.start()
    yield server.getsockname()[1], caught
    ended.set()
    thread.join()
    server.close()


def answers(monkeypatch: pytest.MonkeyPatch, *rounds: list[str]) -> list[int]:
    """A resolver under an attacker's control, which may answer differently each time it is asked."""
    asked: list[int] = []

    def getaddrinfo(host: str, port: int, *_: object, **__: object) -> list[object]:
        found = rounds[min(len(asked), len(rounds) - 1)]
        asked.append(port)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def attempt(url: str) -> int:
    """What a delivery does."""
    target = outside.read(url, NOBODY)
    return outside.post(target, outside.resolve(target, NOBODY), content=b"{}", headers={})


def test_there_are_enough_attempts() -> None:
    assert len(LITERALS) + len(NAMES) >= 60


@pytest.mark.parametrize("url", LITERALS)
def test_what_is_written_strangely_is_refused_before_it_is_resolved(
    url: str, monkeypatch: pytest.MonkeyPatch, trap: tuple[int, list[str]]
) -> None:
    asked = answers(monkeypatch, ["127.0.0.1"])
    for one in (url, url.replace("/ ", f":{trap[0]}/")):
        with pytest.raises(Refused):
            attempt(one)
    assert asked == []
    assert trap[1] == []


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_inside_are_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, trap: tuple[int, list[str]]
) -> None:
    answers(monkeypatch, NAMES[name])
    with pytest.raises(Refused, match="not public"):
        attempt(f"https://{name}:{trap[0]}/")
    assert trap[1] == []


def test_a_name_that_changes_its_mind_is_connected_to_where_it_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    target = outside.read("https://rebinding.attacker.example/", NOBODY)
    address = outside.resolve(target, NOBODY)
    assert str(address) == "93.184.216.34"
    connected: list[object] = []

    def create_connection(to: tuple[str, int], *_: object, **__: object) -> socket.socket:
        connected.append(to)
        raise OSError("no way out of this test")

    monkeypatch.setattr(socket, "create_connection", create_connection)
    with pytest.raises(Exception, match="no way out"):
        outside.post(target, address, content=b"{}", headers={})
    assert connected == [("93.184.216.34", 443)]
    assert len(asked) == 1


def test_redirects_are_not_followed_and_proxies_not_asked(
    monkeypatch: pytest.MonkeyPatch, trap: tuple[int, list[str]]
) -> None:
    port, caught = trap
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    lab = Allowed.parse("127.0.0.0/8")
    target = outside.read(f"http://127.0.0.1:{port}/redirect", lab)
    assert outside.post(target, outside.resolve(target, lab), content=b"{}", headers={}) == 302
    assert len(caught) == 2
    assert f"Host: 127.0.0.1:{port}".lower() in caught[1].lower()


def test_the_server_s_owner_may_let_users_reach_named_hosts_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, ["10.1.2.3"])
    lab = Allowed.parse("hooks.lab.example, 10.1.0.0/16")
    for url in ("http://hooks.lab.example/", "https://other.lab.example/", "https://10.1.9.9/"):
        assert outside.resolve(outside.read(url, lab), lab) == ipaddress.ip_address("10.1.2.3")
    for url in ("https://10.2.0.1/", "http://other.lab.example/", "https://hooks.lab.example@10.2.0.1/"):
        with pytest.raises(Refused):
            outside.read(url, lab)


def test_what_is_public_is_let_through() -> None:
    for address in ("93.184.216.34", "1.1.1.1", "2606:2800:220:1:248:1893:25c8:1946"):
        assert outside.is_public(ipaddress.ip_address(address))
    target = outside.read("https://hooks.example.org:8443/a?b=c", NOBODY)
    assert (target.host, target.port, target.path) == ("hooks.example.org", 8443, "/a?b=c")
    assert target.authority == "hooks.example.org:8443"


def test_signatures_are_those_of_the_convention() -> None:
    secret, body = "whsec_" + base64.b64encode(bytes(range(32))).decode(), b'{"type":"ping"}'
    headers = signed(secret, "msg_1", body, at=1_700_000_000)
    expected = hmac.new(bytes(range(32)), b'msg_1.1700000000.{"type":"ping"}', hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_1", "1700000000")
