"""An AsyncAPI 3.0 document of a camera's topics, made from the models that the daemon publishes."""

from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from runtime.mqtt.topics import TOPICS, Topic

JSON, JPEG = "application/json", "image/jpeg"
_BINDING = "0.2.0"
_PARAMETERS = {
    "topic": {"description": "mqtt.topic of the configuration.", "default": "tremorscope"},
    "camera": {"description": "name of the configuration."},
    "region": {"description": "name of one of the regions."},
}


def asyncapi_document() -> dict[str, Any]:
    """The whole document, of JSON's types alone. The daemon is the application that it describes."""
    models = [topic.model for topic in TOPICS if topic.model is not None]
    references, schemas = _schemas(models)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "tremorscope",
            "version": version("tremorscope"),
            "description": "What a camera that measures vibration publishes, and what it may be told.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": JSON,
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": {topic.name: _operation(topic) for topic in TOPICS},
        "components": {
            "messages": {topic.name: _message(topic, references) for topic in TOPICS},
            "schemas": schemas,
        },
    }


def message_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of what is published: what is always there is required."""
    return model.model_json_schema(mode="serialization")


def _schemas(
    models: list[type[BaseModel]],
) -> tuple[dict[type[BaseModel], dict[str, Any]], dict[str, Any]]:
    """References to the models' schemas, and all that these need. A command may leave out what has a
    default; a message never does."""
    commands = {topic.model for topic in TOPICS if topic.is_command}
    modes: dict[type[BaseModel], JsonSchemaMode] = {
        one: "validation" if one in commands else "serialization" for one in models
    }
    found, definitions = models_json_schema(
        list(modes.items()), ref_template="#/components/schemas/{model}"
    )
    return {model: found[model, mode] for model, mode in modes.items()}, definitions["$defs"]


def _channel(topic: Topic) -> dict[str, Any]:
    address = f"{{topic}}/{{camera}}/{topic.address}"
    names = [name for name in _PARAMETERS if f"{{{name}}}" in address]
    return {
        "address": address,
        "description": topic.about,
        "parameters": {name: _PARAMETERS[name] for name in names},
        "messages": {topic.name: {"$ref": f"#/components/messages/{topic.name}"}},
    }


def _operation(topic: Topic) -> dict[str, Any]:
    binding: dict[str, Any] = {"qos": topic.qos, "bindingVersion": _BINDING}
    if not topic.is_command:
        binding["retain"] = topic.retained
        if topic.expires_s is not None:
            binding["messageExpiryInterval"] = topic.expires_s
    operation: dict[str, Any] = {
        "action": topic.action,
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "messages": [{"$ref": f"#/channels/{topic.name}/messages/{topic.name}"}],
        "bindings": {"mqtt": binding},
    }
    if topic.is_command:
        operation["description"] = "A command that is retained is ignored."
        operation["reply"] = {
            "channel": {"$ref": "#/channels/reply"},
            "messages": [{"$ref": "#/channels/reply/messages/reply"}],
        }
    return operation


def _message(topic: Topic, references: dict[type[BaseModel], dict[str, Any]]) -> dict[str, Any]:
    if topic.model is None:
        return {
            "contentType": JPEG,
            "summary": topic.about,
            "payload": {"type": "string", "format": "binary"},
        }
    return {
        "contentType": JSON,
        "summary": topic.about,
        "payload": references[topic.model],
        "examples": [{"payload": topic.example}],
    }
