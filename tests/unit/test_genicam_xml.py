"""A camera's description is looked at before a library follows it without a limit."""

import pytest

from edge_inspector.cameras import genicam_xml
from edge_inspector.cameras.genicam_xml import examine
from edge_inspector.errors import DeviceError
from edge_inspector.simulation.gige import registers
from edge_inspector.simulation.gige.genapi import describe


def description(*nodes: str) -> bytes:
    return f'<?xml version="1.0"?><RegisterDescription>{"".join(nodes)}</RegisterDescription>'.encode()


def integer(name: str, *to: str) -> str:
    values = "".join(f"<pValue> {each}\n</pValue>" for each in to)
    return f'<Integer Name="{name}">{values}</Integer>'


def knife(name: str, *variables: str) -> str:
    used = "".join(f'<pVariable Name="{at}">{each}</pVariable>' for at, each in enumerate(variables))
    return f'<IntSwissKnife Name="{name}">{used}<Formula>1</Formula></IntSwissKnife>'


def test_what_cameras_have_is_let_through() -> None:
    examine(describe(registers.features(480, 640)))
    # Width and offset bound each other, and a selector names what it selects: neither is a way of a value.
    examine(
        description(
            '<Integer Name="Width"><pValue>WidthRegister</pValue><pMax>WidthMax</pMax></Integer>',
            '<Integer Name="OffsetX"><pValue>OffsetRegister</pValue><pMax>OffsetMax</pMax></Integer>',
            knife("WidthMax", "OffsetX"),
            knife("OffsetMax", "Width"),
            '<Enumeration Name="Selector"><pSelected>Gain</pSelected><pValue>SelectorRegister</pValue></Enumeration>',
            '<Float Name="Gain"><pValue>GainRegister</pValue></Float>',
            '<FloatReg Name="GainRegister"><pIndex Offset="4">Selector</pIndex><Length>4</Length></FloatReg>',
        )
    )


@pytest.mark.parametrize(
    "behind", [b"", b"\0\0\0", b" \n", b"\0what the memory had before"], ids=["nothing", "padding", "space", "more"]
)
def test_what_lies_behind_a_description_is_no_fault_of_it(behind: bytes) -> None:
    examine(description(integer("A", "B")) + behind)


@pytest.mark.parametrize(
    "nodes",
    [
        [integer("A", "A")],
        [integer("A", "B"), integer("B", "A")],
        [integer("A", "B"), integer("B", "C", "D"), knife("D", "E"), knife("E", "B")],
        [knife("A", "A")],
        ['<IntReg Name="A"><pAddress>A</pAddress></IntReg>'],
        ['<IntReg Name="A"><IntSwissKnife Name="B"><pVariable Name="X">A</pVariable></IntSwissKnife></IntReg>'],
        ['<Group Comment="x">', integer("A", "A"), "</Group>"],
        ["<Integer Name='A'><pValue>A<!-- --></pValue></Integer>"],
        ["<Integer Name='A'><pValue><![CDATA[A]]></pValue></Integer>"],
    ],
)
def test_a_value_that_needs_itself_is_refused(nodes: list[str]) -> None:
    with pytest.raises(DeviceError, match="leads in a circle"):
        examine(description(*nodes))


def test_a_way_that_is_too_long_or_too_costly_is_refused() -> None:
    examine(description(*(integer(f"A{at}", f"A{at + 1}") for at in range(150))))
    with pytest.raises(DeviceError, match="leads too far"):
        examine(description(*(integer(f"A{at}", f"A{at + 1}") for at in range(5000))))
    # Each needs the two before it: 2^40 reads.
    with pytest.raises(DeviceError, match="leads too far"):
        examine(description(*(knife(f"A{at}", f"A{at + 1}", f"A{at + 2}") for at in range(60))))


@pytest.mark.parametrize("length", ["-4", "0", "2147483632", "0xFFFFFFFF", "four", ""])
def test_a_register_of_an_impossible_length_is_refused(length: str) -> None:
    with pytest.raises(DeviceError, match="has a register of"):
        examine(description(f'<IntReg Name="A"><Length>{length}</Length></IntReg>'))
    with pytest.raises(DeviceError, match="has a register of"):
        examine(
            description(
                '<IntReg Name="A"><pLength>B</pLength></IntReg>',
                f'<Integer Name="B"><Value>{length}</Value></Integer>',
            )
        )
    examine(description('<IntReg Name="A"><Length>0x10</Length></IntReg>'))


@pytest.mark.parametrize("of", ["A", "Nobody", "Knife", "Register", "Through", "Both", "Twice"])
def test_a_register_whose_length_is_computed_is_refused(of: str) -> None:
    nodes = [
        knife("Knife"),
        '<IntReg Name="Register"><Length>4</Length></IntReg>',
        '<Integer Name="Through"><pValue>Register</pValue></Integer>',
        '<Integer Name="Number"><Value>8</Value></Integer>',
        '<Integer Name="Both"><Value>8</Value><pValue>Knife</pValue></Integer>',
        '<Integer Name="Twice"><Value>8</Value></Integer>',
        knife("Twice"),
    ]
    with pytest.raises(DeviceError, match=f"as long as '{of}' computes"):
        examine(description(*nodes, f'<IntReg Name="A"><pLength>{of}</pLength></IntReg>'))
    examine(description(*nodes, '<IntReg Name="A"><pLength>Number</pLength></IntReg>'))


@pytest.mark.parametrize(
    ("xml", "why"),
    [
        (b"", "damaged"),
        (b"no XML", "damaged"),
        (b"<RegisterDescription><Integer", "damaged"),
        (b'<?xml version="1.0" encoding="klingon"?><RegisterDescription/>', "damaged"),
        (b'<!DOCTYPE r [<!ENTITY a "A">]>' + description(), "damaged|entities"),
        (b'<!DOCTYPE r [<!ENTITY a "A">]><RegisterDescription/>', "entities of its own"),
        (description("<Group>" * 300, "</Group>" * 300), "nested more than 256 deep"),
        (b" " * (1 << 26), "bytes, more than"),
    ],
)
def test_what_is_no_description_is_refused(xml: bytes, why: str) -> None:
    with pytest.raises(DeviceError, match=why):
        examine(xml)


def test_a_description_that_was_looked_at_is_known_when_the_camera_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = description(integer("Known", "B")), description(integer("A", "A"))
    examine(good)
    with pytest.raises(DeviceError):
        examine(bad)
    monkeypatch.delattr(genicam_xml, "_follow")
    examine(good)
    with pytest.raises(NameError):
        examine(bad)
