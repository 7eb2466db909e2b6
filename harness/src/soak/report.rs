//! What a soak did and found.

use std::fmt;
use std::time::Duration;

use vhost_fuzz_core::ring::{AccessError, ActivateError, BindError, Broken};

use super::Config;

/// How often each thing happened to the chains of a run. Without a fault all are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Sent by the driver.
    pub sent: u64,
    /// Taken by the device.
    pub taken: u64,
    /// Given back by the device.
    pub given: u64,
    /// Come back to the driver.
    pub returned: u64,
}

impl Tally {
    /// Whether so many chains were sent, and each was taken, given back and returned once.
    #[must_use]
    pub fn is_exact(&self, chains: u64) -> bool {
        *self == Self { sent: chains, taken: chains, given: chains, returned: chains }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, taken, given, returned } = self;
        write!(f, "{sent} sent, {taken} taken, {given} given back, {returned} returned")
    }
}

/// A run that ended well.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The ring.
    pub config: Config,
    /// Its chains.
    pub tally: Tally,
    /// Wall time.
    pub elapsed: Duration,
    /// Notifications of the device.
    pub kicks: u64,
    /// Notifications of the driver.
    pub calls: u64,
    /// Times that the driver went to sleep.
    pub driver_sleeps: u64,
    /// Times that the device went to sleep.
    pub device_sleeps: u64,
    /// Times that the driver went round the ring.
    pub laps: u64,
}

/// What a run found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no memory for the rings.
    Memory(String),
    /// The queue did not start.
    Activate(ActivateError),
    /// The queue was not there at a wake-up.
    Bind(BindError),
    /// The device says that the ring is broken.
    Broken(Broken),
    /// The device did not take a chain.
    Pop(String),
    /// The device could not give a buffer back.
    Put(String),
    /// The device could not access a buffer.
    Access(AccessError),
    /// The device took a chain of another size than the next one has.
    Size {
        /// The next chain.
        number: u64,
        /// Readable bytes that it found.
        readable: u64,
        /// Writable bytes that it found.
        writable: u64,
    },
    /// The device read another request than the one of the next chain.
    Request {
        /// The next chain.
        number: u64,
    },
    /// The driver got back what was not in flight.
    NotInFlight {
        /// The id.
        id: u32,
    },
    /// The driver got back another length than the answer has.
    Length {
        /// The chain.
        number: u64,
        /// The length.
        len: u32,
        /// Length of the answer.
        expected: u32,
    },
    /// The driver read another answer.
    Answer {
        /// The chain.
        number: u64,
    },
    /// A buffer was used after all had come back.
    TooMany,
    /// The numbers do not agree in the end.
    Tally(Tally),
    /// Nothing happened any more.
    Hang {
        /// How far it came.
        tally: Tally,
        /// Whether the driver sleeps.
        is_driver_asleep: bool,
        /// Whether the device sleeps.
        is_device_asleep: bool,
    },
    /// A thread panicked.
    Panic(String),
    /// The other side failed.
    Stopped,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(text) => write!(f, "no memory: {text}"),
            Self::Activate(error) => write!(f, "the queue does not start: {error}"),
            Self::Bind(error) => write!(f, "the queue is not there: {error}"),
            Self::Broken(broken) => write!(f, "the device says: {broken}"),
            Self::Pop(text) => write!(f, "the device does not take a chain: {text}"),
            Self::Put(text) => write!(f, "the device cannot give a buffer back: {text}"),
            Self::Access(error) => write!(f, "the device cannot access a buffer: {error}"),
            Self::Size { number, readable, writable } => {
                write!(f, "chain {number} came with {readable} + {writable} bytes")
            }
            Self::Request { number } => write!(f, "chain {number} came with another request"),
            Self::NotInFlight { id } => write!(f, "id {id} came back and was not in flight"),
            Self::Length { number, len, expected } => {
                write!(f, "chain {number} came back with length {len} instead of {expected}")
            }
            Self::Answer { number } => write!(f, "chain {number} came back with another answer"),
            Self::TooMany => f.write_str("a buffer came back after all had"),
            Self::Tally(tally) => write!(f, "the ledger is not exact: {tally}"),
            Self::Hang { tally, is_driver_asleep, is_device_asleep } => {
                let is = |asleep: &bool| if *asleep { "asleep" } else { "awake" };
                let (driver, device) = (is(is_driver_asleep), is(is_device_asleep));
                write!(f, "hang: {tally}; the driver is {driver}, the device is {device}")
            }
            Self::Panic(text) => write!(f, "panic: {text}"),
            Self::Stopped => f.write_str("the other side failed"),
        }
    }
}

impl std::error::Error for Fault {}

/// What [`rings`](super::rings) did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The runs that ended well, in the order of [`Config::all`].
    pub rows: Vec<Row>,
    /// The run that did not. It was the last one.
    pub failure: Option<(Config, Fault)>,
}
