"""Answers to interactions, and the webhook of each (developers/interactions/receiving-and-responding)."""

import time

from local_discord.errors import Refused, invalid, unknown
from local_discord.ids import Json
from local_discord.objects import EPHEMERAL, LOADING, Interaction, Message
from local_discord.posting import fill, post
from local_discord.rest.messages import note_edit
from local_discord.rest.requests import Call
from local_discord.world import Event, World

MESSAGE, THINKING, LATER, UPDATE, CHOICES, FORM = 4, 5, 6, 7, 8, 9
_COMMAND, _COMPONENT, _AUTOCOMPLETE, _SUBMIT = 2, 3, 4, 5


class InteractionRoutes:
    """The handlers of interactions and their webhooks."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.answer_seconds = 3.0
        self.token_seconds = 900.0

    async def answer(self, call: Call) -> Json | None:
        """Take the first answer."""
        interaction = self._world.interactions.get(call.number("interaction"))
        took = 0.0 if interaction is None else time.monotonic() - interaction.created
        if interaction is None or interaction.expired or took > self.answer_seconds:
            raise unknown(10062, "interaction")
        if interaction.kind is not None:
            raise Refused(400, 40060, "Interaction has already been acknowledged.")
        kind, data = call.body["type"], call.body.get("data") or {}
        _check_kind(interaction, kind)
        self._take(interaction, kind, data, call)
        interaction.kind, interaction.answered = kind, took
        self._world.keep_interaction(interaction)
        self._world.emit(Event("INTERACTION_SUCCESS", {"id": str(interaction.id)}, only_for=interaction.user.id))
        return _receipt(interaction) if call.request.query.get("with_response") in ("true", "1", "True") else None

    def _take(self, interaction: Interaction, kind: int, data: Json, call: Call) -> None:
        if kind == MESSAGE:
            interaction.response = self._say(interaction, data, call)
        elif kind == THINKING:
            flags = data.get("flags", 0) & EPHEMERAL | LOADING
            message = Message(interaction.channel, self._world.bot, flags=flags, asked=interaction.asked)
            interaction.response = message
            post(self._world, message, joins=False)
        elif kind in (LATER, UPDATE):
            interaction.response = interaction.source
            if kind == UPDATE and interaction.source is not None:
                self._change(interaction, interaction.source, call, data)
        elif kind == CHOICES:
            if len(data["choices"]) > 25:
                raise invalid("at most 25 choices")
            interaction.choices = data["choices"]
        elif kind == FORM:
            interaction.modal = _form(data)
            shown = {**interaction.modal, "id": str(interaction.id), "channel_id": str(interaction.channel.id)}
            self._world.emit(Event("INTERACTION_MODAL_CREATE", shown, only_for=interaction.user.id))

    def _say(self, interaction: Interaction, data: Json, call: Call) -> Message:
        flags = data.get("flags", 0) & EPHEMERAL
        message = Message(interaction.channel, self._world.bot, flags=flags, asked=interaction.asked)
        fill(self._world, message, data, call.files, interaction.limit)
        post(self._world, message, joins=False)
        return message

    def _change(self, interaction: Interaction, message: Message, call: Call, data: Json) -> None:
        thinking = bool(message.flags & LOADING)
        self._world.delete_files(message, fill(self._world, message, data, call.files, interaction.limit))
        note_edit(self._world, message, marked=not thinking)  # what comes after "thinking" is the answer, and no edit

    async def followup(self, call: Call) -> Json:
        """Post another answer; the first one after "thinking" takes its place."""
        interaction = self._interaction(call)
        if interaction.kind is None:
            raise unknown(10015, "Webhook")
        waiting = interaction.response
        if interaction.kind == THINKING and waiting is not None and waiting.flags & LOADING and not waiting.deleted:
            self._change(interaction, waiting, call, call.body)
            return waiting.json()
        message = self._say(interaction, call.body, call)
        interaction.followups.append(message)
        self._world.keep_interaction(interaction)
        return message.json()

    async def original(self, call: Call) -> Json:
        """Return an answer."""
        return self._own(call)[1].json()

    async def edit_original(self, call: Call) -> Json:
        """Change an answer."""
        interaction, message = self._own(call)
        self._change(interaction, message, call, call.body)
        return message.json()

    async def delete_original(self, call: Call) -> None:
        """Delete an answer."""
        self._world.delete(self._own(call)[1])

    def _interaction(self, call: Call) -> Interaction:
        token = call.request.match_info["token"]
        found = next((i for i in self._world.interactions.values() if i.token == token), None)
        if found is None:
            raise unknown(10015, "Webhook")
        if found.expired or time.monotonic() - found.created > self.token_seconds:
            raise Refused(401, 50027, "Invalid Webhook Token")
        return found

    def _own(self, call: Call) -> tuple[Interaction, Message]:
        interaction, which = self._interaction(call), call.request.match_info["which"]
        own = [*([interaction.response] if interaction.response else []), *interaction.followups]
        found = [m for m in own if not m.deleted and (which == "@original" or m.id == int(which))]
        if not found:
            raise unknown(10008, "Message")
        return interaction, found[0]


def _check_kind(interaction: Interaction, kind: int) -> None:
    """Refuse an answer that does not belong to what was asked; raise `Refused`."""
    allowed = {
        _COMMAND: {MESSAGE, THINKING, FORM},
        _COMPONENT: {MESSAGE, THINKING, LATER, UPDATE, FORM},
        _AUTOCOMPLETE: {CHOICES},
        _SUBMIT: {MESSAGE, THINKING} | ({LATER, UPDATE} if interaction.source is not None else set()),
    }[interaction.type]
    if kind not in allowed:
        raise invalid(f"type {kind} does not answer an interaction of type {interaction.type}")


def _form(data: Json) -> Json:
    if not 1 <= len(data["components"]) <= 5:
        raise invalid("a modal has 1 to 5 components")
    if not 1 <= len(data["title"]) <= 45:
        raise invalid("a modal's title has 1 to 45 characters")
    return data


def _receipt(interaction: Interaction) -> Json:
    receipt: Json = {"interaction": {"id": str(interaction.id), "type": interaction.type}}
    if interaction.response is not None:
        message = interaction.response
        receipt["interaction"] |= {
            "response_message_id": str(message.id),
            "response_message_ephemeral": message.ephemeral,
            "response_message_loading": bool(message.flags & LOADING),
        }
        if interaction.kind in (MESSAGE, UPDATE):
            receipt["resource"] = {"type": interaction.kind, "message": message.json()}
    return receipt
