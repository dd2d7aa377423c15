"""The runtime: mailboxes, timers, supervision, durable state, ports and questions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lucos.actors import Actor, Message, Timer, World
from lucos.actors.real import RealRuntime, runtime
from lucos.errors import InputError, Unreachable
from lucos.model import Event


class Say(Message, frozen=True):
    text: str


class Question(Message, frozen=True):
    call_id: int


class Answer(Message, frozen=True):
    call_id: int
    text: str


class Carried:
    """A carrier that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, Message]] = []

    def send(self, to: str, sender: str, message: Message) -> None:
        self.sent.append((to, sender, message))


class Scripted(Actor):
    """Does on each text what the test's script says; shares `seen` over its restarts."""

    def __init__(self, world: World, script: Callable[[Scripted, str], None], seen: list[str]) -> None:
        super().__init__(world)
        self.script = script
        self.seen = seen

    def receive(self, message: Message, sender: str) -> None:
        assert isinstance(message, Say)
        self.seen.append(message.text)
        self.script(self, message.text)


class Stage:
    def __init__(self, state_dir: Path) -> None:
        self.events: list[Event] = []
        self.fatal: asyncio.Future[tuple[str, BaseException]] = asyncio.get_running_loop().create_future()
        self.carried = Carried()
        self.runtime = RealRuntime(
            "n1",
            state_dir=state_dir,
            transport=self.carried,
            datagrams=self.carried,
            on_event=self.events.append,
            on_fatal=lambda actor, error: self.fatal.set_result((actor, error)),
            log=logging.getLogger("lucos.test"),
        )
        self._deliveries = asyncio.Event()
        self.runtime.tap(lambda *_: self._deliveries.set())

    def play(self, name: str, script: Callable[[Scripted, str], None]) -> list[str]:
        seen: list[str] = []
        self.runtime.spawn(name, lambda world: Scripted(world, script, seen))
        return seen

    def say(self, to: str, *texts: str) -> None:
        for text in texts:
            self.runtime.deliver(to, Say(text), "test")

    async def until(self, holds: Callable[[], bool]) -> None:
        """Look again after each delivery."""
        async with asyncio.timeout(5.0):
            while not holds():
                self._deliveries.clear()
                await self._deliveries.wait()
                await asyncio.sleep(0)


def on_stage(tmp_path: Path, act: Callable[[Stage], Awaitable[None]]) -> None:
    async def main() -> None:
        stage = Stage(tmp_path)
        try:
            await act(stage)
        finally:
            stage.runtime.close()

    asyncio.run(main())


def nothing(actor: Scripted, text: str) -> None:
    pass


def test_a_send_is_never_a_call_and_order_is_kept(tmp_path: Path) -> None:
    def script(actor: Scripted, text: str) -> None:
        if text.isdecimal() and int(text) < 1000:
            actor.world.send("one", Say(str(int(text) + 1)))
            actor.seen.append(f"after {text}")

    async def act(stage: Stage) -> None:
        seen = stage.play("one", script)
        stage.say("one", "998", "x")
        assert seen == []
        await stage.until(lambda: "1000" in seen)
        assert seen == ["998", "after 998", "x", "999", "after 999", "1000"]

    on_stage(tmp_path, act)


def test_a_flooded_actor_leaves_the_others_their_turn(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        order: list[str] = []
        stage.play("busy", lambda _, text: order.append(text))
        stage.play("other", lambda _, text: order.append(text))
        stage.say("busy", *["flood"] * 1000)
        stage.say("other", "here")
        await stage.until(lambda: "here" in order)
        assert order.index("here") <= 1

    on_stage(tmp_path, act)


def test_a_full_mailbox_refuses_messages_but_not_timers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "MAILBOX_MESSAGES_MAX", 10)

    def script(actor: Scripted, text: str) -> None:
        if text == "go":
            actor.world.after(0.0, Say("timer"))
            for number in range(15):
                actor.world.send("one", Say(str(number)))

    async def act(stage: Stage) -> None:
        seen = stage.play("one", script)
        stage.say("one", "go")
        await stage.until(lambda: "timer" in seen)
        assert seen[:11] == ["go", *map(str, range(10))]
        assert stage.runtime.dropped["mailbox full"] == 5

    on_stage(tmp_path, act)


def test_a_cancelled_timer_never_arrives_even_when_it_waits_in_the_mailbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "TURN_S", 0.0)  # the loop sees to its timers after each message
    timers: list[Timer] = []

    def script(actor: Scripted, text: str) -> None:
        if text == "set":
            timers.append(actor.world.after(0.0, Say("never")))
            timers.append(actor.world.after(60.0, Say("never")))
            actor.world.after(0.02, Say("end"))
        if text == "cancel":
            for timer in timers:
                timer.cancel()

    async def act(stage: Stage) -> None:
        seen = stage.play("one", script)
        # The timer fires after `wait`, when `cancel` already stands in the mailbox before it.
        stage.say("one", "set", "wait", "cancel")
        await stage.until(lambda: "end" in seen)
        assert seen == ["set", "wait", "cancel", "end"]
        timers[0].cancel()

    on_stage(tmp_path, act)


def test_a_failed_actor_starts_again_from_its_durable_state_without_its_timers(tmp_path: Path) -> None:
    def script(actor: Scripted, text: str) -> None:
        if text == "save":
            actor.world.save(b"kept")
            actor.world.after(0.01, Say("lost"))
        if text == "fail":
            raise RuntimeError("broken")
        if text == "load":
            actor.seen.append(repr(actor.world.load()))
            actor.world.after(0.05, Say("end"))

    async def act(stage: Stage) -> None:
        instances: list[Scripted] = []
        seen: list[str] = []

        def factory(world: World) -> Actor:
            instances.append(Scripted(world, script, seen))
            return instances[-1]

        stage.runtime.spawn("one", factory)
        sibling = stage.play("two", nothing)
        stage.say("one", "save", "fail", "load")
        stage.say("two", "still here")
        await stage.until(lambda: "end" in seen)
        assert seen == ["save", "fail", "load", "b'kept'", "end"]
        assert len(instances) == 2
        assert sibling == ["still here"]
        assert [(e.kind, e.subject) for e in stage.events] == [("actor.restart", "one")]
        draws = [actor.world.random.random() for actor in instances]
        assert draws[0] != draws[1]

    on_stage(tmp_path, act)


def test_an_error_of_input_keeps_the_actor(tmp_path: Path) -> None:
    def script(actor: Scripted, text: str) -> None:
        if text == "bad":
            raise InputError("bad input")

    async def act(stage: Stage) -> None:
        seen = stage.play("one", script)
        stage.say("one", *["bad"] * 10, "end")
        await stage.until(lambda: "end" in seen)
        assert {e.kind for e in stage.events} == {"actor.resume"}
        assert len(seen) == 11

    on_stage(tmp_path, act)


def test_failures_beyond_the_bound_go_up_and_at_the_top_are_fatal(tmp_path: Path) -> None:
    parents: list[World] = []

    class Parent(Actor):
        def __init__(self, world: World) -> None:
            super().__init__(world)
            parents.append(world)
            world.spawn("child", lambda w: Scripted(w, fail, []))

    def fail(actor: Scripted, text: str) -> None:
        raise RuntimeError(text)

    async def act(stage: Stage) -> None:
        stage.runtime.spawn("parent", Parent)
        # Four failures of the child are one of its parent, which has four lives too.
        stage.say("child", *["broken"] * 3)
        await stage.until(lambda: len(stage.events) == 3)
        assert len(parents) == 1
        for life in range(2, 5):
            stage.say("child", *["broken"] * 4)
            await stage.until(lambda: len(parents) == life)  # noqa: B023
        stage.say("child", *["broken"] * 4)
        actor, error = await asyncio.wait_for(stage.fatal, 5.0)
        assert (actor, str(error)) == ("parent", "broken")
        stage.say("child", "anyone?")
        assert stage.runtime.dropped["no such actor"] >= 1

    on_stage(tmp_path, act)


def test_an_actor_that_cannot_start_tells_who_spawns_it(tmp_path: Path) -> None:
    def factory(world: World) -> Actor:
        raise InputError("no such thing")

    async def act(stage: Stage) -> None:
        with pytest.raises(InputError, match="no such thing"):
            stage.runtime.spawn("one", factory)
        stage.play("one", nothing)
        with pytest.raises(ValueError, match="already has"):
            stage.play("one", nothing)

    on_stage(tmp_path, act)


def test_state_survives_the_agent(tmp_path: Path) -> None:
    worlds: list[World] = []

    class Keeper(Actor):
        def __init__(self, world: World) -> None:
            super().__init__(world)
            worlds.append(world)

    async def act(stage: Stage) -> None:
        stage.runtime.spawn("dvms/x.1", Keeper)
        stage.runtime.spawn("other", Keeper)

    on_stage(tmp_path, act)
    assert worlds[0].load() is None
    worlds[0].save(b"1")
    worlds[0].save(b"2")
    on_stage(tmp_path, act)
    assert worlds[2].load() == b"2"
    assert worlds[3].load() is None


def test_ports_receive_and_answer(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        got: list[tuple[Message, str]] = []

        def port(message: Message, sender: str) -> None:
            got.append((message, sender))
            stage.runtime.deliver(sender, Say("answer"), "port")

        stage.runtime.register_port("port", port)

        def script(actor: Scripted, text: str) -> None:
            if text == "go":
                actor.world.send("port", Say("hello"))

        seen = stage.play("one", script)
        stage.say("one", "go")
        await stage.until(lambda: "answer" in seen)
        assert got == [(Say("hello"), "n1/one")]
        stage.runtime.deliver("n2/one", Say("far"), "port")
        assert stage.carried.sent == [("n2/one", "n1/port", Say("far"))]

    on_stage(tmp_path, act)


def test_a_question_is_answered_or_times_out(tmp_path: Path) -> None:
    class Oracle(Actor):
        def receive(self, message: Message, sender: str) -> None:
            if isinstance(message, Question):
                self.world.send(sender, Answer(message.call_id - 1, "to another question"))
                self.world.send(sender, Answer(message.call_id, "yes"))

    async def act(stage: Stage) -> None:
        stage.runtime.spawn("oracle", Oracle)
        for to in ("oracle", "n1/oracle"):
            answer = await stage.runtime.ask(to, Question, 5.0)
            assert isinstance(answer, Answer)
            assert answer.text == "yes"
        with pytest.raises(Unreachable, match=r"n2/oracle did not answer within 0\.05 s"):
            await stage.runtime.ask("n2/oracle", Question, 0.05)
        # An answer after the deadline finds nobody.
        (_, asker, question) = stage.carried.sent[0]
        assert isinstance(question, Question)
        stage.runtime.arrive(asker, "n2/oracle", Answer(question.call_id, "late"))
        assert stage.runtime.dropped["no such actor"] == 1

    on_stage(tmp_path, act)
