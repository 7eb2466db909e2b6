//! `corpus forms`: a seed for each form of each request and reply, and scripts that hold them.

use std::path::Path;

use anyhow::Result;
use vhost_fuzz_core::vhost_user::request::{Row, forms as rows};
use vhost_fuzz_core::vhost_user::{Channel, Direction, Kind};
use vhost_fuzz_harness::corpus::{Entry, Seed};
use vhost_fuzz_harness::recording::fds;
use vhost_fuzz_harness::script::{self, Record};
use vhost_fuzz_harness::seeds::{Distinct, Form, forms_of};

use super::judge::ACCEPT;
use super::manifest::Update;
use super::summary;

/// The origin of these seeds.
pub(super) const ORIGIN: &str = "form";

/// Most payload bytes of a message that is cut into pieces.
const SHORT: usize = 64;

/// Requests in one script.
const GROUP: usize = 5;

/// What `corpus forms` would change.
///
/// # Errors
/// When a form is not what the model calls legal.
pub(super) fn updates(root: &Path) -> Result<Vec<Update>> {
    let is_ours = |origin: &str| origin == ORIGIN;
    Ok(vec![
        Update::plan(root, "msg_decode", is_ours, messages())?,
        Update::plan(root, "msg_stream", is_ours, scripts())?,
    ])
}

fn seed(name: String, shows: String, bytes: Vec<u8>) -> Seed {
    let entry = Entry { shows, expect: ACCEPT.to_owned(), origin: ORIGIN.to_owned() };
    Seed { name, entry, bytes }
}

/// A request or a reply with all its forms.
struct Forms {
    kind: Kind,
    row: &'static Row,
    forms: Vec<Form>,
}

fn all() -> Vec<Forms> {
    rows()
        .map(|(kind, row)| Forms {
            kind,
            row,
            forms: forms_of(kind, row, &mut Distinct::default()),
        })
        .collect()
}

fn messages() -> Vec<Seed> {
    let seed_of = |Forms { kind, row, forms }: Forms| {
        forms.into_iter().map(move |form| {
            let shows = shows(kind, row, &form);
            seed(form.name.clone(), shows, form.input())
        })
    };
    all().into_iter().flat_map(seed_of).collect()
}

/// A sentence about a form: the message, what is special, how many descriptors it has.
fn shows(kind: Kind, row: &Row, form: &Form) -> String {
    let mut text = summary::name(kind, Some(row.code));
    if kind.channel == Channel::Backend {
        text += " on the back-end channel";
    }
    if let Some(label) = label(kind, row, form) {
        text += ", ";
        text += &words(label);
    }
    if form.context.layout.xen_mmap {
        text += ", with XEN_MMAP";
    }
    if form.context.layout.log_shmfd {
        text += ", with LOG_SHMFD";
    }
    if form.context.layout.postcopy_ack {
        text += ", when a postcopy acknowledgement is due";
    }
    let fds = summary::count(form.context.fds, "descriptor");
    let bytes = summary::count(form.payload_len(), "payload byte");
    format!("{text}: {bytes}, {fds}")
}

/// What follows the request in the name of a form.
fn label<'a>(kind: Kind, row: &Row, form: &'a Form) -> Option<&'a str> {
    let name = form.name.strip_prefix("backend-").unwrap_or(&form.name);
    let rest = name.strip_prefix(&row.name.to_lowercase())?;
    let rest = match kind.direction {
        Direction::Request => rest,
        Direction::Reply => rest.strip_prefix("-reply")?,
    };
    rest.strip_prefix('-')
}

/// The label of a form in words.
fn words(label: &str) -> String {
    let label = label.strip_prefix("xen-").unwrap_or(label);
    match label {
        "1-region" => "a table of 1 region",
        "8-regions" => "a table of 8 regions",
        "padded" => "with bytes after what counts, up to the longest form",
        "region" | "xen" => "a region",
        "region-fd" | "fd" => "a region with a descriptor that is allowed, not needed",
        "postcopy-ack-empty" => "the empty form",
        "postcopy-ack-u64" => "the form with a u64",
        "u64" => "the form with a u64",
        "log" => "the form with size and offset",
        "256-bytes" => "the largest window",
        "0-bytes" => "a window without bytes",
        "error" => "the empty form that reports an error",
        "none" => "size 0: there is no area",
        "no-fd" => "which says that no descriptor comes along",
        "own-fd" => "with a descriptor of the back-end",
        "failed" => "a failure",
        "found" => "success with its descriptor",
        "empty" => "the empty form with a descriptor",
        "empty-no-fd" => "the empty form without a descriptor",
        "symmetric" => "a symmetric session with keys of full length",
        "asymmetric" => "an asymmetric session with a key of full length",
        other => return other.replace('-', " "),
    }
    .to_owned()
}

/// How a script cuts its messages.
#[derive(Clone, Copy)]
enum Cut {
    /// Each message is received alone.
    Messages,
    /// Messages without descriptors are received with those before them.
    Joined,
    /// Pieces of this many bytes.
    Pieces(usize),
}

fn scripts() -> Vec<Seed> {
    let all = all();
    let mut seeds = Vec::new();
    for channel in [Channel::Main, Channel::Backend] {
        for group in Row::all(channel).chunks(GROUP) {
            let is_inside = |one: &&Forms| one.kind.channel == channel && group.contains(one.row);
            seeds.extend(conversation(channel, group, all.iter().filter(is_inside)));
        }
    }
    for (direction, what) in [(Direction::Request, "requests"), (Direction::Reply, "replies")] {
        let forms = || {
            let same = all.iter().filter(|one| one.kind.direction == direction);
            same.flat_map(|one| &one.forms).filter(|form| form.payload_len() <= SHORT)
        };
        for (suffix, cut, how) in [
            ("joined", Cut::Joined, "joined where no descriptors part them"),
            ("in-pieces", Cut::Pieces(5), "in pieces of 5 bytes"),
        ] {
            let (bytes, count) = script(forms(), cut);
            let shows = format!("{count} {what} of at most {SHORT} payload bytes, {how}");
            seeds.push(seed(format!("forms-short-{what}-{suffix}"), shows, bytes));
        }
    }
    seeds
}

/// A script of neighbouring requests in all their forms, and the replies to them.
fn conversation<'a>(
    channel: Channel,
    group: &[Row],
    forms: impl Iterator<Item = &'a Forms>,
) -> Option<Seed> {
    let (first, last) = (group.first()?.code, group.last()?.code);
    let name = match channel {
        Channel::Main => format!("forms-requests-{first:02}-{last:02}"),
        Channel::Backend => format!("forms-backend-requests-{first:02}-{last:02}"),
    };
    let names: Vec<_> = group.iter().map(|row| row.name).collect();
    let (bytes, count) = script(forms.flat_map(|one| &one.forms), Cut::Messages);
    let shows = format!("{count} messages, all forms of {} and the replies", names.join(", "));
    Some(seed(name, shows, bytes))
}

/// A script of these messages with their descriptors, and how many they are.
fn script<'a>(forms: impl Iterator<Item = &'a Form>, cut: Cut) -> (Vec<u8>, usize) {
    let mut records = Vec::new();
    let mut count = 0;
    for form in forms {
        count += 1;
        let context = form.context;
        let kind = context.kind;
        records.extend(fds::records(kind, context.layout, &form.bytes, context.fds));
        let piece = match cut {
            Cut::Pieces(len) => len,
            Cut::Messages | Cut::Joined => form.bytes.len(),
        };
        for bytes in form.bytes.chunks(piece) {
            records.push(Record::Message { kind, bytes: bytes.into() });
            if !matches!(cut, Cut::Joined) {
                records.push(Record::Border);
            }
        }
    }
    records.push(Record::Close);
    (script::encode(&records), count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::judge::judge;
    use vhost_fuzz_harness::target::msg_stream;

    #[test]
    fn every_form_has_a_seed_and_is_in_a_script() {
        let forms = vhost_fuzz_harness::seeds::forms();
        let names: Vec<_> = messages().into_iter().map(|seed| seed.name).collect();
        assert_eq!(names, forms.iter().map(|form| form.name.clone()).collect::<Vec<_>>());
        let scripts = scripts();
        let conversations = scripts.iter().filter(|seed| {
            ["forms-requests-", "forms-backend-requests-"]
                .iter()
                .any(|prefix| seed.name.starts_with(prefix))
        });
        let count: usize = conversations
            .map(|seed| judge("msg_stream", &seed.bytes).expect("a model").messages.len())
            .sum();
        assert_eq!(count, forms.len());
    }

    #[test]
    fn every_script_ends_well() {
        for seed in scripts() {
            let judgement = judge("msg_stream", &seed.bytes).expect("a model");
            assert_eq!(judgement.verdict, ACCEPT, "{}", seed.name);
            assert!(judgement.messages.len() > 1, "{}", seed.name);
        }
    }

    #[test]
    fn pieces_are_received_apart() {
        let form = |bytes: usize| Form {
            name: String::new(),
            context: vhost_fuzz_harness::context::Context::plain(Kind::FRONTEND_REQUEST, 0),
            bytes: vec![0; bytes],
        };
        let forms = [form(12), form(12)];
        let segments = |cut| {
            let (bytes, _) = script(forms.iter(), cut);
            msg_stream::streams(&bytes)[0].segments.len()
        };
        assert_eq!(segments(Cut::Messages), 2);
        assert_eq!(segments(Cut::Joined), 1);
        assert_eq!(segments(Cut::Pieces(5)), 6);
    }

    #[test]
    fn what_a_form_shows_is_in_words() {
        for seed in messages() {
            assert!(seed.entry.shows.contains(" payload byte"), "{}", seed.entry.shows);
        }
        let shows = |name: &str| {
            messages().into_iter().find(|seed| seed.name == name).expect(name).entry.shows
        };
        assert_eq!(
            shows("set_mem_table-xen-8-regions"),
            "SET_MEM_TABLE, a table of 8 regions, with XEN_MMAP: 328 payload bytes, 8 descriptors"
        );
        assert_eq!(
            shows("get_features-reply"),
            "GET_FEATURES reply: 8 payload bytes, 0 descriptors"
        );
    }
}
