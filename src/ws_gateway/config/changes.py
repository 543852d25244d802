"""What is different between two trees of settings, by the names that people know."""

from ws_gateway.config.fields import settings_of
from ws_gateway.config.load import groups
from ws_gateway.config.tree import Settings

__all__ = ["changes"]


def changes(before: Settings, after: Settings) -> tuple[str, ...]:
    """The names of the settings whose values differ, in the order in which they are declared.

    A key that comes from a file goes by the setting of that file, also when only the file has changed.
    """
    different = [
        declared.name
        for group_name, group in groups().items()
        for attribute, declared in settings_of(group).items()
        if getattr(getattr(before, group_name), attribute) != getattr(getattr(after, group_name), attribute)
    ]
    if after.token.public_key_file is not None:
        different = ["JWT_PUBLIC_KEY_FILE" if name == "JWT_PUBLIC_KEY" else name for name in different]
    return tuple(dict.fromkeys(different))
