//! The DHCP server of a port, message by message.
//!
//! The first two bytes of an input set the port up, as [`Setup`] explains. Records follow: a
//! length of two bytes, little-endian, and so many bytes. A record is
//!
//! | Bytes | Meaning |
//! |---|---|
//! | 2 | seconds since the record before, little-endian |
//! | 6 | the station that sent the frame |
//! | 4 | IP source |
//! | 4 | IP destination |
//! | 2 | UDP destination port, big-endian |
//! | rest | UDP payload |
//!
//! A record that is cut is what there is of it, and bytes that its front lacks are zero.

use std::net::Ipv4Addr;

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::dhcp::{Request, Server};
use vhost_fuzz_model::Id;
use vhost_fuzz_model::net::dhcp as model;

use crate::dhcp::{Responder, Setup};
use crate::oracle;
use crate::run::{self, Summary};

/// Bytes of a record in front of the payload.
pub const FRONT: usize = 18;

/// Runs one input through the server of the core.
///
/// # Panics
/// When an oracle finds a fault.
pub fn run(bytes: &[u8]) {
    run::input("dhcp", bytes, |bytes| {
        let outcome = check::<Server>(bytes);
        Summary { is_accepted: outcome.broken.is_none(), messages: outcome.messages }
    });
}

/// Runs one input through any server.
///
/// # Panics
/// When an oracle finds a fault.
#[must_use]
pub fn check<R: Responder>(bytes: &[u8]) -> Outcome {
    oracle::dhcp::check::<R>(bytes)
}

/// What became of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Messages that were judged.
    pub messages: usize,
    /// How many of them were answered.
    pub answers: usize,
    /// The first rule that one of them breaks.
    pub broken: Option<Id>,
}

/// What the model says about an input, message by message, without the code under test.
pub fn judge(bytes: &[u8]) -> impl Iterator<Item = (Record<'_>, Result<model::Said, Id>)> {
    let (setup, rest) = split(bytes);
    let mut machine = model::Machine::new(setup.model());
    let mut now_ms = 0;
    records(rest).map(move |record| {
        now_ms += record.elapsed_ms();
        let said = machine.take(&record.model(), now_ms);
        (record, said)
    })
}

/// Set-up and records of an input.
#[must_use]
pub fn split(bytes: &[u8]) -> (Setup, &[u8]) {
    match bytes.split_first_chunk() {
        Some((setup, rest)) => (Setup(*setup), rest),
        None => (Setup([bytes.first().copied().unwrap_or(0), 0]), &[]),
    }
}

/// One message, and how it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Seconds since the record before.
    pub seconds: u16,
    /// The station that sends the frame.
    pub ethernet_source: Mac,
    /// IP source.
    pub source: Ipv4Addr,
    /// IP destination.
    pub destination: Ipv4Addr,
    /// UDP destination port.
    pub port: u16,
    /// UDP payload.
    pub payload: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads a record.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Self {
        let (front, payload) = bytes.split_at(bytes.len().min(FRONT));
        let mut whole = [0; FRONT];
        whole[..front.len()].copy_from_slice(front);
        let [t0, t1, a, b, c, d, e, f, s0, s1, s2, s3, d0, d1, d2, d3, p0, p1] = whole;
        Self {
            seconds: u16::from_le_bytes([t0, t1]),
            ethernet_source: Mac([a, b, c, d, e, f]),
            source: Ipv4Addr::new(s0, s1, s2, s3),
            destination: Ipv4Addr::new(d0, d1, d2, d3),
            port: u16::from_be_bytes([p0, p1]),
            payload,
        }
    }

    /// Writes the record with its length.
    ///
    /// # Panics
    /// When the payload is longer than a datagram can be.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let len = u16::try_from(FRONT + self.payload.len()).expect("a datagram");
        [
            &len.to_le_bytes()[..],
            &self.seconds.to_le_bytes(),
            &self.ethernet_source.0,
            &self.source.octets(),
            &self.destination.octets(),
            &self.port.to_be_bytes(),
            self.payload,
        ]
        .concat()
    }

    /// Milliseconds since the record before.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        1000 * u64::from(self.seconds)
    }

    /// For the code under test.
    #[must_use]
    pub const fn request(&self) -> Request<'a> {
        let Self { ethernet_source, source, destination, port, payload, .. } = *self;
        Request { payload, ethernet_source, source, destination, port }
    }

    /// For the model.
    #[must_use]
    pub const fn model(&self) -> model::Input<'a> {
        model::Input {
            payload: self.payload,
            ethernet_source: self.ethernet_source.0,
            source: self.source.octets(),
            destination: self.destination.octets(),
            port: self.port,
        }
    }
}

/// The records of an input.
pub fn records(bytes: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (len, behind) = rest.split_first_chunk()?;
        let len = usize::from(u16::from_le_bytes(*len)).min(behind.len());
        let (record, behind) = behind.split_at(len);
        rest = behind;
        Some(Record::read(record))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_may_be_cut_anywhere() {
        let record = Record {
            seconds: 7,
            ethernet_source: Mac([1, 2, 3, 4, 5, 6]),
            source: [1, 2, 3, 4].into(),
            destination: [5, 6, 7, 8].into(),
            port: 67,
            payload: &[9; 5],
        };
        let bytes = [record.encode(), record.encode()].concat();
        assert_eq!(records(&bytes).collect::<Vec<_>>(), [record; 2]);
        for len in 0..bytes.len() {
            assert!(records(&bytes[..len]).count() <= 2);
        }
        let cut = Record { payload: &[9; 4], ..record };
        assert_eq!(records(&bytes[..bytes.len() - 1]).nth(1), Some(cut));
        assert_eq!(split(&[]).0, Setup([0, 0]));
        assert_eq!(split(&[3]), (Setup([3, 0]), &[][..]));
        assert_eq!(split(&[3, 1, 9]), (Setup([3, 1]), &[9][..]));
    }
}
