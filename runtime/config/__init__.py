"""The configuration: what a TOML file may say, and how one is read."""

from runtime.config.alerts import DEFAULT_ALERT as DEFAULT_ALERT
from runtime.config.alerts import Alert as Alert
from runtime.config.alerts import Quantity as Quantity
from runtime.config.configuration import Camera as Camera
from runtime.config.configuration import Config as Config
from runtime.config.configuration import Magnification as Magnification
from runtime.config.configuration import Rectangle as Rectangle
from runtime.config.configuration import Region as Region
from runtime.config.configuration import Storage as Storage
from runtime.config.configuration import Vibration as Vibration
from runtime.config.evidence import Evidence as Evidence
from runtime.config.health import Health as Health
from runtime.config.home_assistant import HomeAssistant as HomeAssistant
from runtime.config.mqtt import Mqtt as Mqtt
from runtime.config.page import Page as Page
from runtime.config.recovery import Recovery as Recovery
