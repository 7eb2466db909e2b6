//! The libFuzzer dictionaries, generated from the request table.
//!
//! `fuzz/dictionaries/<target>.dict` is committed; `cargo xtask corpus dictionaries` writes it and
//! a test compares.

use std::fmt::Write as _;

use vhost_fuzz_core::vhost_user::request::{Row, forms};
use vhost_fuzz_core::vhost_user::{Direction, Flags, Kind};

use crate::script;
use crate::script::Record;

/// Numbers at which something changes.
const BOUNDARIES: &[(&str, u64)] = &[
    ("page", 0x1000),
    ("no_fd", 0x100),
    ("ring_max", 0x8000),
    ("packed_base", 0x8000_8000),
    ("i32_min", 0x8000_0000),
    ("u32_max", 0xffff_ffff),
    ("i64_max", 0x7fff_ffff_ffff_ffff),
    ("i64_min", 0x8000_0000_0000_0000),
    ("u64_max", 0xffff_ffff_ffff_ffff),
    ("u64_page", 0xffff_ffff_ffff_f000),
];

/// The dictionary of a target, if it has one.
#[must_use]
pub fn of(target: &str) -> Option<String> {
    match target {
        "msg_decode" => Some(render(target, messages().chain(numbers()))),
        "msg_stream" => Some(render(target, messages().chain(numbers()).chain(records()))),
        _ => None,
    }
}

type Entry = (String, Vec<u8>);

fn messages() -> impl Iterator<Item = Entry> {
    forms().flat_map(|(kind, row)| {
        let flags: &[Flags] = match kind.direction {
            Direction::Request => &[Flags::REQUEST, Flags::NEED_REPLY],
            Direction::Reply => &[Flags::REPLY],
        };
        flags.iter().map(move |flags| (name(kind, row, *flags), header(row, *flags)))
    })
}

fn name(kind: Kind, row: &Row, flags: Flags) -> String {
    let channel = if row.code < 11 && kind.channel != Kind::FRONTEND_REQUEST.channel {
        "backend_"
    } else {
        ""
    };
    let suffix = match (kind.direction, flags.needs_reply()) {
        (Direction::Reply, _) => "_reply",
        (Direction::Request, true) => "_need_reply",
        (Direction::Request, false) => "",
    };
    format!("{channel}{}{suffix}", row.name.to_lowercase())
}

/// Id and flags: a dictionary word that turns any header into one of this request.
fn header(row: &Row, flags: Flags) -> Vec<u8> {
    [row.code, flags.0].into_iter().flat_map(u32::to_ne_bytes).collect()
}

fn numbers() -> impl Iterator<Item = Entry> {
    BOUNDARIES.iter().map(|(name, value)| {
        let bytes = match u32::try_from(*value) {
            Ok(value) => value.to_ne_bytes().to_vec(),
            Err(_) => value.to_ne_bytes().to_vec(),
        };
        (format!("number_{name}"), bytes)
    })
}

fn records() -> impl Iterator<Item = Entry> {
    let record = |name: &str, record: Record<'_>| {
        (format!("record_{name}"), script::encode(&[record])[1..].to_vec())
    };
    [
        record("border", Record::Border),
        record("control_truncated", Record::ControlTruncated),
        record("close", Record::Close),
        record("reconnect", Record::Reconnect),
        record("fd", Record::Fd { kind: script::FdKind::EVENTFD, seals: 0, size: 0 }),
    ]
    .into_iter()
}

fn render(target: &str, entries: impl Iterator<Item = Entry>) -> String {
    let mut text = format!(
        "# Generated from the request table: cargo xtask corpus dictionaries.\n# Words for {target}.\n"
    );
    for (name, bytes) in entries {
        let hex: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        let _ = writeln!(text, "{name}=\"{hex}\"");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::TARGETS;

    #[test]
    fn every_target_has_words_with_names_of_their_own() {
        for target in TARGETS {
            let text = of(target.name).expect("a dictionary");
            let mut names: Vec<_> = text
                .lines()
                .filter_map(|line| line.split_once('='))
                .map(|(name, _)| name)
                .collect();
            assert!(names.len() > 100, "{}", target.name);
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{}", target.name);
        }
    }
}
