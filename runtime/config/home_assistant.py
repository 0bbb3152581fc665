"""``[home_assistant]``: whether this camera shows itself there."""

from pydantic import Field

from runtime.config.section import Section


class HomeAssistant(Section):
    """Home Assistant's discovery over MQTT."""

    enabled: bool = Field(
        False,
        title="Appear in Home Assistant",
        description="Whoever may use Home Assistant can then change gain, mode and band.",
    )
    discovery_prefix: str = Field(
        "homeassistant",
        pattern=r"^[^+#\s/][^+#\s]*$",
        title="Its discovery prefix",
        description="As Home Assistant's MQTT integration is set up.",
    )
