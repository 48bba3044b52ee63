"""Topics as a plant wants them, and what a broker may do without."""

from pathlib import Path

import pytest
from support.mqtt_peers import identity

from edge_inspector.errors import ConfigError
from edge_inspector.mqtt.link import MqttLink
from edge_inspector.mqtt.settings import MqttSettings
from edge_inspector.settings import checked


def test_topics_are_as_before_unless_the_plant_has_an_order_of_its_own() -> None:
    usual = MqttSettings(host="b")
    assert usual.topic_of("line-1", "command/result") == "edge/line-1/command/result"
    isa = MqttSettings(host="b", topic_prefix="acme/berlin/press-shop", topic="{prefix}/{kind}/{station}")
    assert isa.topic_of("line-1", "verdict") == "acme/berlin/press-shop/verdict/line-1"
    assert MqttSettings(host="b", topic="acme/cell-7/edge/{kind}").topic_of("x", "state") == "acme/cell-7/edge/state"


@pytest.mark.parametrize(
    ("topic", "why"),
    [
        ("{prefix}/{station}", "must have {kind} as one of its levels"),
        ("{prefix}/v-{kind}", "must have {kind} as one of its levels"),
        ("{prefix}/{kind}/{prefix}", "has {prefix} twice"),
        ("{prefix}/{area}/{kind}", "Places are {prefix}, {station} and {kind}"),
        ("{prefix}//{kind}", "must be levels with / between them"),
        ("/{prefix}/{kind}", "must be levels with / between them"),
        ("+/{kind}", "without + # and $"),
        ("$SYS/{kind}", "without + # and $"),
        ("{prefix.__class__}/{kind}", "Places are"),
    ],
)
def test_a_form_that_cannot_be_a_topic_is_refused(topic: str, why: str) -> None:
    with pytest.raises(ConfigError) as raised:
        checked(MqttSettings, {"host": "b", "topic": topic})
    assert why in str(raised.value)


@pytest.mark.parametrize(
    "wrong",
    [{"outbox": "../x"}, {"outbox": ""}, {"websocket_path": "mqtt"}, {"websocket_path": "/a b"}, {"transport": "quic"}],
)
def test_other_wrong_words_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        checked(MqttSettings, {"host": "b"} | wrong)


def test_a_file_of_that_name_is_the_outbox(tmp_path: Path) -> None:
    link = MqttLink(MqttSettings(host="192.0.2.1", outbox="cloud"), identity(tmp_path))
    link.open()
    link.close()
    assert (tmp_path / "cloud.sqlite").exists()
    assert not (tmp_path / "outbox.sqlite").exists()
