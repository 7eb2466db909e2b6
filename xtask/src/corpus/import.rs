//! `corpus import`: logs of real sessions become scripts and single messages.
//!
//! A log gives one script for each session in it, for `msg_stream` as it was, for `session`
//! with what the device offered in front and for `diff_vhost` with the front-end's side alone, and
//! single messages for `msg_decode`. Of the
//! messages of one log with the same id, flags, payload length and number of descriptors only
//! one is kept, and only if its bytes are neither those of a kept message of another log nor
//! those of a generated form.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use vhost_fuzz_core::vhost_user::{Channel, Direction, Flags, HEADER_LEN, Kind, Message, request};
use vhost_fuzz_harness::context::Context;
use vhost_fuzz_harness::corpus::{Entry, Seed};
use vhost_fuzz_harness::recording::{self, Act, Call, Connection, Recorded};
use vhost_fuzz_harness::seeds;
use vhost_fuzz_model::vhost_user::message as model;

use super::judge::{ACCEPT, judge};
use super::manifest::{self, Update};
use super::{front_end, strace, summary};

/// What the origin of an imported seed begins with; the stem of the log follows.
pub(super) const ORIGIN: &str = "trace ";

/// A log of strace.
struct Log {
    path: PathBuf,
    stem: String,
    calls: Vec<Call>,
}

/// What importing these logs would change.
///
/// # Errors
/// When a log cannot be read or has no session; the message names it and its line.
pub(super) fn updates(root: &Path, paths: &[PathBuf]) -> Result<Vec<Update>> {
    let mut logs = paths.iter().map(|path| read(path)).collect::<Result<Vec<_>>>()?;
    logs.sort_by(|a, b| a.stem.cmp(&b.stem));
    if let Some([one, other]) = logs.array_windows().find(|[a, b]| a.stem == b.stem) {
        let (one, other) = (one.path.display(), other.path.display());
        bail!("{one} and {other} would give seeds of the same names; rename one of the logs");
    }
    let origins: Vec<_> = logs.iter().map(|log| format!("{ORIGIN}{}", log.stem)).collect();
    let is_ours = |origin: &str| origins.iter().any(|ours| ours == origin);
    let (mut scripts, mut conversations) = (Vec::new(), Vec::new());
    let mut messages = Singles::with_seeds_of_other_logs(root, is_ours)?;
    for log in &logs {
        let sessions = recording::sessions(&log.calls);
        ensure!(
            !sessions.is_empty(),
            "{}: no descriptor on which a front-end sends vhost-user requests",
            log.path.display()
        );
        let earlier = scripts.len();
        for (number, session) in (1..).zip(&sessions) {
            session.iter().try_for_each(|connection| check_complete(log, connection))?;
            let taken = scripts.len() - earlier;
            scripts.extend(script_seeds(log, taken, session)?);
            conversations.extend(conversation_seed(log, number, session));
            for message in session.iter().flat_map(recording::messages) {
                messages.add(log, &message)?;
            }
        }
    }
    let front_ends = front_end::seeds(&scripts)?;
    Ok(vec![
        Update::plan(root, "diff_vhost", is_ours, front_ends)?,
        Update::plan(root, "msg_decode", is_ours, messages.seeds)?,
        Update::plan(root, "msg_stream", is_ours, scripts)?,
        Update::plan(root, "session", is_ours, conversations)?,
    ])
}

fn read(path: &Path) -> Result<Log> {
    let name = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("{name} cannot be read"))?;
    let text = String::from_utf8(bytes).map_err(|_| anyhow!("{name} is no text, so no log"))?;
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
    manifest::check_name(&stem)
        .with_context(|| format!("{name}: the name of a log becomes part of seed names"))?;
    let calls = strace::parse(&text).map_err(|error| anyhow!("{name}:{}: {error}", error.line))?;
    Ok(Log { path: path.to_owned(), stem, calls })
}

/// Every byte that went over a session's sockets has to be in the log.
fn check_complete(log: &Log, connection: &Connection<'_>) -> Result<()> {
    for piece in &connection.pieces {
        let Call { line, act, bytes, len, .. } = piece.call;
        let at = format!("{}:{line}", log.path.display());
        ensure!(
            *act != Act::Unread,
            "{at}: sendmmsg, recvmmsg, sendfile and splice on a vhost-user socket are not read"
        );
        ensure!(
            bytes.len() == *len,
            "{at}: the line shows {} of {len} bytes; record with `strace -s 65536`",
            bytes.len()
        );
    }
    Ok(())
}

/// How many connections, requests, replies and descriptors a session has.
fn counts(session: &[Connection<'_>]) -> String {
    let messages: Vec<_> = session.iter().flat_map(recording::messages).collect();
    let count =
        |direction| messages.iter().filter(|message| message.kind.direction == direction).count();
    format!(
        "{}, {}, {}, {}",
        summary::count(session.len(), "connection"),
        summary::count(count(Direction::Request), "request"),
        summary::plural(count(Direction::Reply), "reply", "replies"),
        summary::count(messages.iter().map(|message| message.fds).sum(), "descriptor"),
    )
}

/// The seed of one session, the `number`th of its log, for a back-end that keeps track of it. It
/// takes everything that the recorded back-end took.
fn conversation_seed(log: &Log, number: usize, session: &[Connection<'_>]) -> Option<Seed> {
    let bytes = recording::conversation(session)?;
    let name = match number {
        1 => log.stem.clone(),
        later => format!("{}-{later}", log.stem),
    };
    let entry = Entry {
        shows: format!(
            "a recorded session, for which the device offers the same: {}",
            counts(session)
        ),
        expect: ACCEPT.to_owned(),
        origin: format!("{ORIGIN}{}", log.stem),
    };
    Some(Seed { name, entry, bytes })
}

/// The seeds of one session. `taken` counts the scripts that the log has so far.
fn script_seeds(log: &Log, taken: usize, session: &[Connection<'_>]) -> Result<Vec<Seed>> {
    let counts = counts(session);
    let scripts = recording::scripts(session);
    let parts = scripts.len();
    let seed_of = |(index, bytes): (usize, Vec<u8>)| {
        let name = match taken + index {
            0 => log.stem.clone(),
            earlier => format!("{}-{}", log.stem, earlier + 1),
        };
        let part = match parts {
            1 => String::new(),
            _ => format!(", part {} of {parts}", index + 1),
        };
        let entry = Entry {
            shows: format!("a recorded session{part}: {counts}"),
            expect: judge("msg_stream", &bytes)?.verdict,
            origin: format!("{ORIGIN}{}", log.stem),
        };
        Ok(Seed { name, entry, bytes })
    };
    scripts.into_iter().enumerate().map(seed_of).collect()
}

/// What makes two messages of one log look the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Shape {
    kind: Kind,
    code: u32,
    flags: Flags,
    len: usize,
    fds: usize,
}

/// Collects the single messages.
struct Singles {
    seeds: Vec<Seed>,
    /// Inputs that the corpus has.
    inputs: HashSet<Vec<u8>>,
    /// Logs and shapes that it has.
    shapes: HashSet<(String, Shape)>,
}

impl Singles {
    fn with_seeds_of_other_logs(root: &Path, is_ours: impl Fn(&str) -> bool) -> Result<Self> {
        let mut inputs: HashSet<_> = seeds::forms().iter().map(seeds::Form::input).collect();
        for (name, entry) in manifest::read(root, "msg_decode")? {
            if entry.origin.starts_with(ORIGIN) && !is_ours(&entry.origin) {
                let path = root.join("msg_decode").join(name);
                let bytes = std::fs::read(&path)
                    .with_context(|| format!("{} cannot be read", path.display()))?;
                inputs.insert(bytes);
            }
        }
        Ok(Self { seeds: Vec::new(), inputs, shapes: HashSet::new() })
    }

    fn add(&mut self, log: &Log, message: &Recorded) -> Result<()> {
        let Some(header) = message.header() else { return Ok(()) };
        let &Recorded { kind, fds, .. } = message;
        let len = message.bytes.len() - HEADER_LEN;
        let shape = Shape { kind, code: header.code, flags: header.flags, len, fds };
        let bytes = input(message);
        if manifest::check_len(bytes.len()).is_err() {
            return Ok(()); // far beyond what any receiver takes, and than fuzzing does
        }
        if self.inputs.contains(&bytes) || !self.shapes.insert((log.stem.clone(), shape)) {
            return Ok(());
        }
        let expect = judge("msg_decode", &bytes)?.verdict;
        let origin = format!("{ORIGIN}{}", log.stem);
        let entry = Entry { shows: shows(message), expect, origin };
        let name = self.name(&log.stem, shape);
        self.seeds.push(Seed { name, entry, bytes: bytes.clone() });
        self.inputs.insert(bytes);
        Ok(())
    }

    /// `set_vring_num-need_reply-STEM`; with the length or a number where that is taken.
    fn name(&self, stem: &str, shape: Shape) -> String {
        let Shape { kind, code, flags, len, .. } = shape;
        let mut name = match kind.channel {
            Channel::Main => String::new(),
            Channel::Backend => "backend-".to_owned(),
        };
        match request::row(kind.channel, code) {
            Some(row) => name += &row.name.to_lowercase(),
            None => name += &format!("request-{code}"),
        }
        if kind.direction == Direction::Reply {
            name += "-reply";
        }
        if flags.needs_reply() {
            name += "-need_reply";
        }
        let names = [format!("{name}-{stem}"), format!("{name}-{len}-bytes-{stem}")]
            .into_iter()
            .chain((2_u32..).map(|number| format!("{name}-{len}-bytes-{number}-{stem}")));
        let is_free = |name: &String| self.seeds.iter().all(|seed| seed.name != *name);
        // A list without an end always has a free name.
        names.into_iter().find(is_free).unwrap_or(name)
    }
}

/// The message with its context, which is left away where a message alone means the same.
fn input(message: &Recorded) -> Vec<u8> {
    let &Recorded { kind, layout, fds, .. } = message;
    let context = Context { kind, layout, fds };
    let (bytes, natural) = Context::split(&message.bytes);
    let verdict = |context: Context| model::judge(context.model(), bytes, context.fds);
    let is_natural = bytes == message.bytes && natural.kind == kind && natural.fds == fds;
    if is_natural && verdict(natural) == verdict(context) {
        return message.bytes.clone();
    }
    context.join(&message.bytes)
}

fn shows(message: &Recorded) -> String {
    let &Recorded { kind, layout, fds, .. } = message;
    match Message::decode(kind, layout, &message.bytes, fds) {
        Ok(decoded) => summary::line(&decoded.to_string()),
        Err(error) => {
            let name = summary::name(kind, super::judge::code(&message.bytes));
            summary::line(&format!("{name}, refused: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::check::TRACES;
    use crate::corpus::judge::BackEnd;
    use vhost_fuzz_harness::corpus;
    use vhost_fuzz_harness::script::{self, Record};
    use vhost_fuzz_harness::session::offer::ScriptOffer;
    use vhost_fuzz_model::session::Step;

    /// Features in two iovecs, a kick with its descriptor sent in two pieces, its reply received
    /// in two pieces with a bit too many, and calls on other descriptors.
    const LOG: &str = include_str!("import/small.strace");

    fn import(root: &Path, names: &[&str], force: bool) -> Result<()> {
        let logs = tempfile::tempdir()?;
        let mut paths = Vec::new();
        for name in names {
            let path = logs.path().join(name);
            std::fs::write(&path, LOG)?;
            paths.push(path);
        }
        manifest::apply(root, updates(root, &paths)?, force)
    }

    #[test]
    fn a_log_becomes_a_script_and_messages() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path();
        import(root, &["b.strace", "a.strace"], false).expect("imported");

        let names = corpus::files(root, "msg_decode").expect("files");
        let expected =
            ["set_features-a", "set_vring_kick-need_reply-a", "set_vring_kick-reply-need_reply-a"];
        assert_eq!(names, expected, "the second log brings nothing new");
        let entries = manifest::read(root, "msg_decode").expect("a manifest");
        let entry = |name: &str| {
            let Entry { shows, expect, origin } = &entries[name];
            (shows.as_str(), expect.as_str(), origin.as_str())
        };
        assert_eq!(entry(expected[1]), ("SET_VRING_KICK need_reply index=0", "accept", "trace a"));
        assert_eq!(
            entry(expected[2]),
            ("SET_VRING_KICK reply, refused: need_reply is set in a reply", "VU-008", "trace a")
        );

        assert_eq!(corpus::files(root, "msg_stream").expect("files"), ["a", "b"]);
        let script = std::fs::read(root.join("msg_stream/a")).expect("a script");
        let records = script::decode(&script);
        let kinds: Vec<_> = records
            .iter()
            .map(|record| match record {
                Record::Message { kind, bytes } => format!("{:?} {}", kind.direction, bytes.len()),
                Record::Fd { kind, .. } => format!("fd {}", kind.0),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(
            kinds,
            [
                "Request 20",
                "Border",
                "fd 0",
                "Request 13",
                "Border",
                "Request 7",
                "Border",
                "Reply 12",
                "Border",
                "Reply 8",
                "Border",
                "Close"
            ]
        );
        let entry = &manifest::read(root, "msg_stream").expect("a manifest")["a"];
        assert_eq!(entry.expect, "VU-008");
        assert_eq!(
            entry.shows,
            "a recorded session: 1 connection, 2 requests, 1 reply, 1 descriptor"
        );
    }

    #[test]
    fn importing_again_changes_nothing() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path();
        import(root, &["a.strace"], false).expect("first");
        let text = std::fs::read(root.join("msg_decode.toml")).expect("a manifest");
        import(root, &["a.strace"], false).expect("second, without force");
        assert_eq!(std::fs::read(root.join("msg_decode.toml")).expect("a manifest"), text);
        // A later log adds what is new in it, which is only its script.
        import(root, &["z.strace"], false).expect("third");
        assert_eq!(corpus::files(root, "msg_decode").expect("files").len(), 3);
        assert_eq!(corpus::files(root, "msg_stream").expect("files"), ["a", "z"]);
    }

    #[test]
    fn what_is_no_log_is_named_with_its_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        let cut = format!("{LOG}8 write(3, \"\\1\"..., 60) = 60\n");
        for (name, text, error) in [
            ("a.strace", "1 close(3) = 0\nhello\n", "a.strace:2: expected a line of strace"),
            ("a.strace", "1 close(3) = 0\n", "a.strace: no descriptor on which a front-end"),
            ("a.strace", &cut, "a.strace:10: the line shows 1 of 60 bytes"),
            ("A B.strace", LOG, "A B.strace: the name of a log becomes part"),
        ] {
            let path = root.join(name);
            std::fs::write(&path, text).expect("written");
            let got = updates(root, &[path]).expect_err(error);
            assert!(format!("{got:#}").contains(error), "{got:#}");
        }
        let missing = updates(root, &[root.join("none.strace")]).expect_err("no file");
        assert!(format!("{missing:#}").contains("none.strace cannot be read"), "{missing:#}");
        std::fs::write(root.join("a.strace"), LOG).expect("written");
        let twice = [root.join("a.strace"), root.join("a.strace")];
        assert!(updates(root, &twice).expect_err("twice").to_string().contains("same names"));
    }

    /// Payloads of the replies to what a back-end is asked about itself and its rings.
    fn facts<'a>(replies: impl Iterator<Item = &'a [u8]>) -> Vec<(u32, &'a [u8])> {
        let fact = |bytes: &'a [u8]| {
            let (code, _) = bytes.split_first_chunk()?;
            let code = u32::from_ne_bytes(*code);
            [1, 11, 15, 17, 36].contains(&code).then(|| (code, &bytes[HEADER_LEN..]))
        };
        replies.filter_map(fact).collect()
    }

    #[test]
    fn the_model_answers_as_the_recorded_back_ends_did() {
        let logs = corpus::root().join(TRACES);
        let mut answered = 0;
        for entry in std::fs::read_dir(logs).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|extension| extension != "strace") {
                continue;
            }
            let log = std::fs::read_to_string(&path).expect("a log");
            let calls = strace::parse(&log).expect("a log");
            for session in recording::sessions(&calls) {
                let script = recording::conversation(&session).expect("a script");
                let records = script::decode(&script);
                let mut back_end = BackEnd::new(&ScriptOffer::of_script(&records));
                let heard: Vec<_> = records
                    .iter()
                    .flat_map(|record| back_end.record(record, None).answers)
                    .collect();
                let ours = facts(heard.iter().filter_map(|answer| match &answer.step {
                    Step::Reply { bytes, .. } => Some(&bytes[..]),
                    _ => None,
                }));
                let messages: Vec<_> = session.iter().flat_map(recording::messages).collect();
                let theirs = messages.iter().filter(|message| message.kind == Kind::BACKEND_REPLY);
                let theirs = facts(theirs.map(|message| &message.bytes[..]));
                assert_eq!(ours, theirs, "{}", path.display());
                answered += ours.len();
            }
        }
        assert!(answered > 50, "{answered} replies");
    }
}
