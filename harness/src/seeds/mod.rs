//! Legal messages in every form that the specification knows.
//!
//! [`forms`] gives each form of each request and reply, with the numbers in its fields drawn from
//! a source. Committed seeds, exhaustive tests, mutators and property tests all start here, so
//! that a new row of the request table has seeds and tests at once.

pub mod net_header;
mod payloads;

use vhost_fuzz_core::vhost_user::request::{Row, forms as rows};
use vhost_fuzz_core::vhost_user::{Flags, HEADER_LEN, Kind, Layout, Message, Payload};

use crate::context::Context;

/// Where the numbers of fields come from.
pub trait Source {
    /// The next number; fields narrower than 64 bits take its low bits.
    fn next(&mut self) -> u64;
}

/// Numbers whose bytes are all different, so that a swapped or shifted field shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Distinct(u8);

impl Source for Distinct {
    fn next(&mut self) -> u64 {
        let mut bytes = [0; 8];
        for byte in &mut bytes {
            // 1 to 251: a prime period keeps neighbours apart, and no byte is 0.
            self.0 = self.0 % 251 + 1;
            *byte = self.0;
        }
        u64::from_le_bytes(bytes)
    }
}

/// Random numbers with a taste for boundaries.
#[derive(Debug)]
pub struct Random<'a>(pub &'a mut fastrand::Rng);

impl Source for Random<'_> {
    fn next(&mut self) -> u64 {
        match self.0.u8(..8) {
            0 => 0,
            1 => 1,
            2 => u64::MAX,
            3 => 1 << self.0.u8(..64),
            4 => (1_u64 << self.0.u8(..64)).wrapping_sub(1),
            5 => self.0.u64(..0x1000),
            6 => self.0.u64(..) << 12,
            _ => self.0.u64(..),
        }
    }
}

/// One legal message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// The request's name, then what is special about this form: `set_mem_table-8-regions`.
    pub name: String,
    /// What the receiver has to know to read it.
    pub context: Context,
    /// Header and payload.
    pub bytes: Vec<u8>,
}

impl Form {
    fn new(
        kind: Kind,
        row: &Row,
        label: &str,
        layout: Layout,
        fds: usize,
        payload: Payload<'_>,
    ) -> Self {
        let flags = match kind.direction {
            vhost_fuzz_core::vhost_user::Direction::Request => Flags::REQUEST,
            vhost_fuzz_core::vhost_user::Direction::Reply => Flags::REPLY,
        };
        let message = Message { kind, code: row.code, flags, payload };
        let mut bytes = vec![0; message.encoded_len()];
        let written = message.encode(&mut bytes).map_or(0, |written| written);
        bytes.truncate(written);
        let channel = match kind.channel {
            vhost_fuzz_core::vhost_user::Channel::Main => "",
            vhost_fuzz_core::vhost_user::Channel::Backend => "backend-",
        };
        let reply = match kind.direction {
            vhost_fuzz_core::vhost_user::Direction::Request => "",
            vhost_fuzz_core::vhost_user::Direction::Reply => "-reply",
        };
        let separator = if label.is_empty() { "" } else { "-" };
        let name = format!("{channel}{}{reply}{separator}{label}", row.name.to_lowercase());
        Self { name, context: Context { kind, layout, fds }, bytes }
    }

    /// Header fields of the message.
    #[must_use]
    pub fn payload_len(&self) -> usize {
        self.bytes.len() - HEADER_LEN
    }

    /// The input of `msg_decode` that holds this message.
    #[must_use]
    pub fn input(&self) -> Vec<u8> {
        self.context.join(&self.bytes)
    }
}

/// Every form of one request, or of the reply to it.
pub fn forms_of(kind: Kind, row: &Row, source: &mut impl Source) -> Vec<Form> {
    let mut forms = Vec::new();
    payloads::each(kind, row, source, &mut |label, layout, fds, payload| {
        forms.push(Form::new(kind, row, label, layout, fds, payload));
    });
    forms
}

/// Every form of every request and reply, with [`Distinct`] numbers.
#[must_use]
pub fn forms() -> Vec<Form> {
    rows().flat_map(|(kind, row)| forms_of(kind, row, &mut Distinct::default())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Core;
    use crate::oracle;

    #[test]
    fn every_form_is_legal_and_has_a_name_of_its_own() {
        let forms = forms();
        let mut names: Vec<_> = forms.iter().map(|form| &form.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), forms.len());
        for form in &forms {
            let verdict = oracle::message::check(&Core, form.context, &form.bytes);
            assert_eq!(verdict, Ok(()), "{}", form.name);
            assert_eq!(Context::split(&form.input()), (&form.bytes[..], form.context));
        }
    }

    #[test]
    fn every_row_has_a_form() {
        for (kind, row) in rows() {
            assert!(!forms_of(kind, row, &mut Distinct::default()).is_empty(), "{}", row.name);
        }
    }

    #[test]
    fn random_numbers_keep_forms_legal() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..50 {
            for (kind, row) in rows() {
                for form in forms_of(kind, row, &mut Random(&mut rng)) {
                    let verdict = oracle::message::check(&Core, form.context, &form.bytes);
                    assert_eq!(verdict, Ok(()), "{}", form.name);
                }
            }
        }
    }
}
