//! Scripts: what happens on the sockets and in the memory of one input, as records.
//!
//! A script is a list of records in a TLV format of our own. Decoding is total: any bytes are a
//! script, records of an unknown kind or with a body that is too short are skipped, and a record
//! that is cut off ends the script. [`encode`] is the inverse of [`decode`] for every list of
//! records, so that a recorded session is a seed as it is.
//!
//! | Offset | Size | Field |
//! |---|---|---|
//! | 0 | 1 | version, [`VERSION`]; a script of another version has no records |
//! | 1 | | records, each: kind (1 byte), length of the body (2 bytes, little-endian), body |
//!
//! The kinds and their bodies are those of [`Record`].

mod record;

pub use record::{Actor, FdKind, Record};

/// The version of the format that this crate reads and writes.
pub const VERSION: u8 = 1;

/// Bytes of a record before its body.
const PREFIX_LEN: usize = 3;

/// The records of a script.
#[must_use]
pub fn decode(script: &[u8]) -> Vec<Record<'_>> {
    records(script).collect()
}

/// The records of a script, one after another.
#[must_use]
pub const fn records(script: &[u8]) -> Records<'_> {
    let rest = match script {
        [VERSION, records @ ..] => records,
        _ => &[],
    };
    Records { rest }
}

/// The records of a script, one after another; see [`records`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        loop {
            let (&[kind, low, high], after) = self.rest.split_first_chunk::<PREFIX_LEN>()?;
            let len = usize::from(u16::from_le_bytes([low, high]));
            let (body, after) = after.split_at_checked(len)?;
            self.rest = after;
            if let Some(record) = Record::read(kind, body) {
                return Some(record);
            }
        }
    }
}

/// A script of these records. Bodies longer than 65,535 bytes are cut.
#[must_use]
pub fn encode<'a>(records: impl IntoIterator<Item = &'a Record<'a>>) -> Vec<u8> {
    let mut script = vec![VERSION];
    let mut body = Vec::new();
    for record in records {
        body.clear();
        let kind = record.write(&mut body);
        let len = u16::try_from(body.len()).unwrap_or(u16::MAX);
        body.truncate(usize::from(len));
        script.push(kind);
        script.extend(len.to_le_bytes());
        script.extend(&body);
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;
    use vhost_fuzz_core::vhost_user::Kind;

    fn one_of_each() -> Vec<Record<'static>> {
        let mut records: Vec<_> = Kind::ALL
            .into_iter()
            .map(|kind| Record::Message { kind, bytes: Cow::Borrowed(&[1, 2, 3]) })
            .collect();
        records.extend([
            Record::Fd { kind: FdKind::MEMFD, seals: 3, size: 0x1_0000_0000 },
            Record::Border,
            Record::ControlTruncated,
            Record::Close,
            Record::Reconnect,
            Record::GuestWrite { address: 0x1000, bytes: Cow::Borrowed(&[9]) },
            Record::Action { actor: Actor::Driver, operation: 4, arguments: Cow::Borrowed(&[]) },
            Record::Action { actor: Actor::Device, operation: 5, arguments: Cow::Borrowed(&[1]) },
            Record::EffectResult { is_ok: true, value: 7 },
            Record::EffectResult { is_ok: false, value: u64::MAX },
        ]);
        records
    }

    #[test]
    fn encode_is_the_inverse_of_decode() {
        let records = one_of_each();
        assert_eq!(decode(&encode(&records)), records);
    }

    #[test]
    fn unknown_kinds_and_short_bodies_are_skipped() {
        let mut script = encode(&[Record::Close]);
        script.extend([0xee, 2, 0, 7, 7]); // unknown kind
        script.extend([2, 1, 0, 1]); // a descriptor without its size
        script.extend(&encode(&[Record::Border])[1..]);
        assert_eq!(decode(&script), [Record::Close, Record::Border]);
    }

    #[test]
    fn a_record_that_is_cut_off_ends_the_script() {
        let script = encode(&one_of_each());
        for len in 0..script.len() {
            assert!(decode(&script[..len]).len() < one_of_each().len());
        }
    }

    #[test]
    fn another_version_has_no_records() {
        let mut script = encode(&one_of_each());
        script[0] = VERSION + 1;
        assert_eq!(decode(&script), []);
        assert_eq!(decode(&[]), []);
    }
}
