"""The simulated camera's description in GenICam's XML, made from the same table as its registers."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree.ElementTree import Element, SubElement, tostring

from edge_inspector.simulation.gige.registers import CHUNKS, FEATURES_AT, MODEL, SERIAL, VENDOR, Chunk, Feature

VENDOR_NAME = "EdgeInspector"
MODEL_NAME = "SimulatedGigE"

_TEXTS = (("DeviceVendorName", VENDOR, 32), ("DeviceModelName", MODEL, 32), ("DeviceSerialNumber", SERIAL, 16))


def describe(offered: Iterable[Feature]) -> bytes:
    """The XML that clients download, padded to whole registers."""
    offered = list(offered)
    root = Element(
        "RegisterDescription",
        ModelName=MODEL_NAME,
        VendorName=VENDOR_NAME,
        StandardNameSpace="None",
        SchemaMajorVersion="1",
        SchemaMinorVersion="1",
        SchemaSubMinorVersion="0",
        MajorVersion="1",
        MinorVersion="0",
        SubMinorVersion="0",
        ProductGuid="6B1E2A50-64B0-4B2E-9A4E-5D6B30B1C0DE",
        VersionGuid="0E0C7A6E-28D6-4C5F-8C4B-1F5A30B1C0DE",
        xmlns="http://www.genicam.org/GenApi/Version_1_1",
    )
    _category(root, [*(name for name, _, _ in _TEXTS), *(each.name for each in offered), *map(_chunk_name, CHUNKS)])
    SubElement(root, "Port", Name="Device")
    for name, address, length in _TEXTS:
        _children(SubElement(root, "StringReg", Name=name), _place(address, length, "RO", "Device"))
    for at, feature in enumerate(offered):
        _feature(root, feature, FEATURES_AT + 4 * at)
    for chunk in CHUNKS:
        _chunk(root, chunk)
    xml = b'<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root)
    return xml + b"\n" * (-len(xml) % 4)


def _category(root: Element, names: Iterable[str]) -> None:
    category = SubElement(root, "Category", Name="Root")
    for name in names:
        SubElement(category, "pFeature").text = name


def _feature(root: Element, feature: Feature, address: int) -> None:
    register = f"{feature.name}Register"
    node = SubElement(root, feature.kind.capitalize(), Name=feature.name)
    for name, value in feature.entries:
        SubElement(SubElement(node, "EnumEntry", Name=name), "Value").text = str(value)
    SubElement(node, "pValue").text = register
    if feature.kind == "boolean":
        _children(node, {"OnValue": "1", "OffValue": "0"})
    elif feature.kind == "command":
        _children(node, {"CommandValue": "1"})
    elif feature.kind in {"integer", "float"}:
        _children(node, {"Min": f"{feature.low:.10g}", "Max": f"{feature.high:.10g}"})
        if feature.kind == "integer":
            _children(node, {"Inc": str(feature.step)})
    access = "RW" if feature.writable else "RO"
    if feature.kind == "float":
        node = SubElement(root, "FloatReg", Name=register)
        _children(node, _place(address, 4, access, "Device") | {"Endianess": "BigEndian"})
    else:
        _integer_register(root, register, feature.signed, _place(address, 4, access, "Device"))


def _chunk(root: Element, chunk: Chunk) -> None:
    port = f"{_chunk_name(chunk)}Port"
    SubElement(SubElement(root, "Port", Name=port), "ChunkID").text = f"{chunk.chunk_id:08x}"
    _integer_register(root, _chunk_name(chunk), chunk.signed, _place(0, chunk.size, "RO", port))


def _chunk_name(chunk: Chunk) -> str:
    return f"Chunk{chunk.name}"


def _integer_register(root: Element, name: str, signed: bool, place: dict[str, str]) -> None:  # noqa: FBT001
    sign = {"Sign": "Signed" if signed else "Unsigned", "Endianess": "BigEndian"}
    _children(SubElement(root, "IntReg", Name=name), place | sign)


def _place(address: int, length: int, access: str, port: str) -> dict[str, str]:
    return {
        "Address": f"0x{address:x}",
        "Length": str(length),
        "AccessMode": access,
        "pPort": port,
        "Cachable": "NoCache",
    }


def _children(node: Element, texts: dict[str, str]) -> None:
    for tag, text in texts.items():
        SubElement(node, tag).text = text
