//! What happens next, drawn from a table by weight. The dice are plain numbers, so that a million moves are cheap.
#![forbid(unsafe_code)]

use std::time::Duration;

use proptest::prelude::*;
use rpm_runtime::model::{Cause, Command, Exit, Pid, PortId, Sig, SlotId, Trigger};
use rpm_runtime::policy::drain::Disposition;

/// Selects one of the existing processes.
#[derive(Clone, Copy, Debug)]
pub struct Who(u8);

/// What happens next.
#[derive(Clone, Copy, Debug)]
pub enum Move {
    /// Until the next deadline.
    Deadline,
    /// Time passes, and the fleet is woken in time.
    Wait(Duration),
    /// Time passes, and the fleet is woken late.
    Jump(Duration),
    Ready(Who),
    AllReady,
    Listens(Who, PortId),
    /// Every worker listens on the ports whose bit is set.
    AllListen(u8),
    Drained(Who),
    AllDrained,
    Moment(Who, bool),
    Disposition(Who, Disposition),
    Scraped(Who),
    /// It closes its channel.
    Closes(Who),
    Quiet,
    Ends(Who, Exit),
    /// The processes whose bit is set end: even ones in the first way, odd ones in the second.
    EndTogether(u16, [Exit; 2]),
    /// The OOM killer kills it.
    Oom(Who),
    /// It binds an address that no other process can bind meanwhile.
    Excludes(Who),
    GivesWay(Who, Exit),
    Checked(Who, bool),
    AllChecked(bool),
    Unfit(Who, Cause),
    Extended(Who, Duration),
    MemberEnds(Who),
    Thaws(Who),
    /// This number of forks fails.
    Shortage(u8),
    Asks(Command),
    /// The limits grant this number of workers.
    Granted(u16),
    /// Two commands are requested at once.
    AsksTogether([Command; 2]),
    /// The same, between the next request for a worker and its answer.
    AsksAmid(Command),
    Stranger(Exit),
    /// A message about a process that is gone, never existed, or must end.
    Stale(Who, Word),
    /// From now on everything goes well, until nothing changes any more.
    Calm,
}

/// A message about a process.
#[derive(Clone, Copy, Debug)]
pub enum Word {
    Ready,
    Listens,
    Excludes,
    FindsInUse,
    Executed,
    Passed,
    Failed,
    Unfit,
    Extended,
    Drained,
    Moment,
    Disposition,
    Scraped,
    Closes,
    GroupEmpty,
}

/// How often each thing happens.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    /// Something fails.
    pub harm: u32,
    /// Workers are checked.
    pub health: u32,
    /// How many of ten checks fail.
    pub sick: u32,
    /// A request that replaces workers.
    pub roll: u32,
}

impl Who {
    pub fn of(self, all: &[Pid]) -> Option<Pid> {
        (!all.is_empty()).then(|| all[usize::from(self.0) % all.len()])
    }
}

/// Two numbers, used up digit by digit.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u32) -> u32 {
        let n = u64::from(n);
        let digit = self.0 % n;
        self.0 /= n;
        u32::try_from(digit).unwrap()
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(u32::try_from(all.len()).unwrap()) as usize]
    }

    fn ms(&mut self, below: u32) -> Duration {
        Duration::from_millis(u64::from(self.below(below)))
    }

    fn who(&mut self) -> Who {
        Who(u8::try_from(self.below(64)).unwrap())
    }

    fn exit(&mut self) -> Exit {
        // Few different codes, so that the lists of codes match them often.
        let code = Exit::Code;
        let signal = Exit::Signal;
        self.one_of(&[
            code(0),
            code(1),
            code(0),
            code(1),
            code(3),
            code(77),
            code(143),
            signal(Sig::TERM),
            signal(Sig::KILL),
            signal(Sig::HUP),
        ])
    }

    fn reload(&mut self) -> Command {
        let all = [Trigger::Operator, Trigger::Schedule, Trigger::Files];
        Command::Reload(self.one_of(&all))
    }

    fn replace(&mut self) -> Command {
        Command::Replace(SlotId(u16::try_from(self.below(5)).unwrap()))
    }

    /// One of the few slots, so that they are halted and started in turn.
    fn halt_or_start(&mut self) -> Command {
        let slot = SlotId(u16::try_from(self.below(4)).unwrap());
        self.one_of(&[Command::Halt(slot), Command::Start(slot)])
    }

    fn command(&mut self) -> Command {
        let reload = self.reload();
        let halt = self.halt_or_start();
        self.one_of(&[
            halt,
            reload,
            Command::ScaleUp,
            Command::ScaleDown,
            reload,
            Command::Restart,
            Command::ScaleUp,
            Command::ScaleDown,
            Command::Stop,
        ])
    }

    fn word(&mut self) -> Word {
        self.one_of(&[
            Word::Ready,
            Word::Listens,
            Word::Excludes,
            Word::FindsInUse,
            Word::Executed,
            Word::Passed,
            Word::Failed,
            Word::Unfit,
            Word::Extended,
            Word::Drained,
            Word::Moment,
            Word::Disposition,
            Word::Scraped,
            Word::Closes,
            Word::GroupEmpty,
        ])
    }

    fn passed(&mut self, weights: Weights) -> bool {
        self.below(10) >= weights.sick
    }
}

type Draw = fn(&mut Dice, Weights) -> Move;

/// Simple moves first: a failing walk shrinks towards them.
fn table(weights: Weights) -> Vec<(u32, Draw)> {
    let Weights {
        harm, health, roll, ..
    } = weights;
    vec![
        (32, |_, _| Move::Deadline),
        (24, |dice, _| Move::Wait(dice.ms(4000))),
        (2, |dice, _| Move::Jump(dice.ms(20_000))),
        (10, |_, _| Move::AllReady),
        (10, |dice, _| Move::Ready(dice.who())),
        (10, |dice, _| {
            Move::AllListen(u8::try_from(1 + dice.below(7)).unwrap())
        }),
        (10, |dice, _| {
            let port = PortId::new(u8::try_from(dice.below(3)).unwrap());
            Move::Listens(dice.who(), port.unwrap())
        }),
        (6, |_, _| Move::AllDrained),
        (6, |dice, _| Move::Drained(dice.who())),
        (8, |dice, _| {
            Move::Moment(dice.who(), dice.one_of(&[false, true]))
        }),
        (6, |dice, _| {
            let all = [
                Disposition::Default,
                Disposition::Caught,
                Disposition::Default,
                Disposition::Ignored,
                Disposition::Unknown,
            ];
            Move::Disposition(dice.who(), dice.one_of(&all))
        }),
        (10, |dice, _| Move::Scraped(dice.who())),
        (2, |dice, _| Move::Closes(dice.who())),
        (1, |_, _| Move::Quiet),
        (roll, |dice, _| Move::Excludes(dice.who())),
        (2 * roll, |dice, _| Move::GivesWay(dice.who(), dice.exit())),
        (6 * roll, |dice, _| Move::Asks(dice.reload())),
        (2 * roll, |_, _| Move::Asks(Command::ScaleUp)),
        (2 * roll, |_, _| Move::Asks(Command::ScaleDown)),
        (roll, |dice, _| Move::Asks(dice.replace())),
        (2 * roll, |dice, _| Move::Asks(dice.halt_or_start())),
        (roll, |dice, _| {
            Move::Granted(u16::try_from(1 + dice.below(7)).unwrap())
        }),
        (2, |_, _| Move::Asks(Command::Restart)),
        (1, |_, _| Move::Asks(Command::Stop)),
        (2, |dice, _| {
            Move::AsksTogether([dice.command(), dice.command()])
        }),
        (2, |dice, _| Move::AsksAmid(dice.command())),
        (2 * harm, |dice, _| Move::Ends(dice.who(), dice.exit())),
        (harm, |dice, _| {
            let mask = u16::try_from(dice.below(1 << 12)).unwrap();
            Move::EndTogether(mask, [dice.exit(), dice.exit()])
        }),
        (harm, |dice, _| Move::Oom(dice.who())),
        (harm, |dice, _| {
            Move::Shortage(u8::try_from(1 + dice.below(3)).unwrap())
        }),
        (1, |dice, _| Move::Stranger(dice.exit())),
        (3 * health, |dice, weights| {
            Move::AllChecked(dice.passed(weights))
        }),
        (3 * health, |dice, weights| {
            Move::Checked(dice.who(), dice.passed(weights))
        }),
        (health, |dice, _| {
            let all = [Cause::MemoryLimit, Cause::Unhealthy];
            Move::Unfit(dice.who(), dice.one_of(&all))
        }),
        (2, |dice, _| Move::Extended(dice.who(), dice.ms(5000))),
        (2, |dice, _| Move::MemberEnds(dice.who())),
        (2, |dice, _| Move::Thaws(dice.who())),
        (4, |dice, _| Move::Stale(dice.who(), dice.word())),
        (3, |_, _| Move::Calm),
    ]
}

pub fn moves(weights: Weights) -> impl Strategy<Value = Move> {
    let table = table(weights);
    let all: u32 = table.iter().map(|(weight, _)| weight).sum();
    (0..all, any::<u64>()).prop_map(move |(drawn, dice)| {
        let mut sum = 0;
        let mut entries = table.iter();
        let drawn = entries.find(|(weight, _)| {
            sum += weight;
            drawn < sum
        });
        drawn.unwrap().1(&mut Dice(dice), weights)
    })
}
