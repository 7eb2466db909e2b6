//! What a soak did and found.

use std::fmt;
use std::time::Duration;

use super::held::Left;

/// Where a front-end is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It negotiates, shares its memory and starts its rings.
    #[default]
    Setup,
    /// It is well-behaved, and has to be served well.
    Good,
    /// It does what it likes.
    Hostile,
    /// It is gone, and nothing of it may be left.
    Gone,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Setup => "setup",
            Self::Good => "good",
            Self::Hostile => "hostile",
            Self::Gone => "gone",
        })
    }
}

/// Where a soak is: the same seed comes to the same front-end again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Of the soak.
    pub seed: u64,
    /// Number of the front-end, from 0.
    pub front_end: u64,
    /// What it was doing.
    pub phase: Phase,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, front_end, phase } = self;
        write!(f, "seed {seed}, front-end {front_end}, {phase} phase")
    }
}

/// What happened how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Back-ends that were started and stopped.
    pub back_ends: u64,
    /// Front-ends that came and went.
    pub front_ends: u64,
    /// Those of them with packed rings.
    pub packed: u64,
    /// Frames that well-behaved drivers sent.
    pub frames: u64,
    /// Answers to them. Without a fault, as many.
    pub answers: u64,
    /// Commands on control queues that were acknowledged.
    pub commands: u64,
    /// Rings that were stopped and went on, and memory that was shared anew, while good.
    pub interludes: u64,
    /// Things that hostile front-ends did.
    pub hostile: u64,
    /// Fields of rings among them that got a value which no honest driver writes.
    pub pokes: u64,
    /// Files that were shortened under the back-end.
    pub shortened: u64,
    /// Connections that nobody used: they waited, and were closed.
    pub waiting: u64,
    /// Connections that the back-end ended because of a message.
    pub refused: u64,
    /// Connections that ended in the middle of a message, or otherwise badly.
    pub cut: u64,
    /// Connections that ended because their memory was gone.
    pub lost: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { front_ends, frames, answers, hostile, refused, .. } = self;
        write!(f, "{front_ends} front-ends, {frames} frames, {answers} answers, ")?;
        write!(f, "{hostile} hostile acts, {refused} connections refused")
    }
}

/// What a soak found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no back-end, or no memory for a guest.
    System(String),
    /// A well-behaved front-end did not get a reply, or the wrong one.
    Talk(String),
    /// A request was not answered.
    Unanswered {
        /// What is missing.
        missing: String,
    },
    /// Nobody asked for this frame, or it was answered already.
    Unasked {
        /// What came.
        frame: String,
    },
    /// An answer was there, and nobody called the driver.
    NoCall,
    /// A command was not acknowledged.
    Command {
        /// Class and command.
        command: [u8; 2],
        /// What the device said.
        ack: Option<u8>,
    },
    /// The device did what a strict driver does not accept.
    Violation(String),
    /// There is no room for what a good driver sends.
    Full,
    /// A connection did not end with its front-end.
    NotEnded,
    /// Something of a front-end or of a back-end is left.
    Left(Box<Left>),
    /// Somebody panicked.
    Panic(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(text) => write!(f, "the system: {text}"),
            Self::Talk(text) => write!(f, "no good reply: {text}"),
            Self::Unanswered { missing } => write!(f, "never answered: {missing}"),
            Self::Unasked { frame } => write!(f, "nobody asked for it: {frame}"),
            Self::NoCall => f.write_str("an answer is there, and nobody called"),
            Self::Command { command: [class, command], ack } => {
                write!(f, "command {class}.{command} was acknowledged with {ack:?}")
            }
            Self::Violation(text) => write!(f, "the device breaks a rule: {text}"),
            Self::Full => f.write_str("the ring has no room for what a good driver sends"),
            Self::NotEnded => f.write_str("the connection goes on without its front-end"),
            Self::Left(left) => write!(f, "something is left; {left}"),
            Self::Panic(text) => write!(f, "panic: {text}"),
        }
    }
}

impl std::error::Error for Fault {}

/// A soak, whether it went well or not.
#[derive(Clone, Debug)]
pub struct Report {
    /// What it did.
    pub tally: Tally,
    /// How long it took.
    pub elapsed: Duration,
    /// Where it failed, and why.
    pub failure: Option<(Place, Fault)>,
    /// What the last front-end had chosen.
    pub plan: String,
}
