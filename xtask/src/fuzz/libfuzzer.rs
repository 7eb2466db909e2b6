//! Reads what a libFuzzer binary prints.
//!
//! A target may print anything between libFuzzer's own lines, and a process that dies may stop in
//! the middle of one. So every line either has the exact shape of something we know, or is
//! [`Line::Other`]; nothing in here fails.

use std::path::{Path, PathBuf};

/// Longest part of a line that is looked at. No line of libFuzzer is longer, save paths.
const LINE_LIMIT: usize = 8192;

/// Cuts a stream of bytes into lines, with a bound on what a line may hold in memory.
#[derive(Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Calls `on_line` for each line that `chunk` completes. Of a longer line, it gets the
    /// first [`LINE_LIMIT`] bytes.
    pub(super) fn push(&mut self, chunk: &[u8], mut on_line: impl FnMut(&str)) {
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            let (text, complete) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let room = LINE_LIMIT.saturating_sub(self.partial.len());
            self.partial.extend_from_slice(&text[..text.len().min(room)]);
            if complete {
                self.flush(&mut on_line);
            }
        }
    }

    /// Calls `on_line` for what is left when the stream ends without a line break.
    pub(super) fn finish(mut self, mut on_line: impl FnMut(&str)) {
        if !self.partial.is_empty() {
            self.flush(&mut on_line);
        }
    }

    fn flush(&mut self, on_line: &mut impl FnMut(&str)) {
        on_line(String::from_utf8_lossy(&self.partial).trim_end_matches('\r'));
        self.partial.clear();
    }
}

/// One line of output.
#[derive(Debug, PartialEq)]
pub(super) enum Line<'a> {
    /// `#12345 NEW cov: 210 …`
    Status(Status),
    /// `stat::name: value`
    Stat { name: &'a str, value: u64 },
    /// `…; Test unit written to PATH`
    Artifact(&'a Path),
    /// `vhost-fuzz-stats: key=value …`
    Counts(Counts),
    /// Anything else.
    Other,
}

/// What a status line says. A number that libFuzzer left out, because it is zero, is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Status {
    /// Whether the line announces an input with new coverage.
    pub(super) is_new: bool,
    /// Inputs executed so far.
    pub(super) executions: u64,
    /// Edges covered.
    pub(super) coverage: u64,
    /// Features covered: edges with hit counts, compared values and so on.
    pub(super) features: u64,
    /// Inputs in the corpus.
    pub(super) corpus: u64,
    /// Executions per second since the start.
    pub(super) exec_per_second: u64,
}

/// What the harness counted, printed when the process ends with `VHOST_FUZZ_STATS` set.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counts {
    /// Inputs that the body was run with.
    pub(super) inputs: Option<u64>,
    /// Sum of their lengths.
    pub(super) bytes: Option<u64>,
    /// Inputs that the code under test accepted.
    pub(super) accepted: Option<u64>,
    /// Messages judged.
    pub(super) messages: Option<u64>,
    /// Ring operations judged.
    pub(super) operations: Option<u64>,
}

/// Says what `line`, without its line break, is.
pub(super) fn parse(line: &str) -> Line<'_> {
    if let Some(rest) = line.strip_prefix('#') {
        return status(rest).map_or(Line::Other, Line::Status);
    }
    if let Some(rest) = line.strip_prefix("stat::") {
        return stat(rest).unwrap_or(Line::Other);
    }
    if let Some(rest) = line.strip_prefix("vhost-fuzz-stats:") {
        return counts(rest).map_or(Line::Other, Line::Counts);
    }
    if line.starts_with("artifact_prefix=")
        && let Some((_, path)) = line.split_once("; Test unit written to ")
    {
        return Line::Artifact(Path::new(path));
    }
    Line::Other
}

fn status(rest: &str) -> Option<Status> {
    let (executions, rest) = rest.split_once('\t')?;
    let mut words = rest.split_ascii_whitespace();
    let event = words.next()?;
    if !["READ", "INITED", "NEW", "REDUCE", "RELOAD", "pulse", "DONE"].contains(&event) {
        return None;
    }
    let mut status = Status {
        is_new: event == "NEW",
        executions: executions.parse().ok()?,
        ..Status::default()
    };
    while let Some(key) = words.next() {
        let field = match key {
            "cov:" => &mut status.coverage,
            "ft:" => &mut status.features,
            "corp:" => &mut status.corpus,
            "exec/s:" => &mut status.exec_per_second,
            _ => continue,
        };
        // `corp: 50/2345b` has the size in bytes after the count.
        let value = words.next()?;
        *field = value.split('/').next()?.parse().ok()?;
    }
    Some(status)
}

fn stat(rest: &str) -> Option<Line<'_>> {
    let (name, value) = rest.split_once(':')?;
    Some(Line::Stat { name, value: value.trim().parse().ok()? })
}

fn counts(rest: &str) -> Option<Counts> {
    let mut counts = Counts::default();
    for pair in rest.split_ascii_whitespace() {
        let (key, value) = pair.split_once('=')?;
        let field = match key {
            "inputs" => &mut counts.inputs,
            "bytes" => &mut counts.bytes,
            "accepted" => &mut counts.accepted,
            "messages" => &mut counts.messages,
            "operations" => &mut counts.operations,
            // A newer harness may count more.
            _ => continue,
        };
        *field = Some(value.parse().ok()?);
    }
    Some(counts)
}

/// What libFuzzer names the file of an input that it wants a person to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArtifactKind {
    /// A panic, a signal or a report of a sanitizer.
    Crash,
    /// One input ran for longer than `-timeout`.
    Timeout,
    /// The process grew over `-rss_limit_mb`.
    OutOfMemory,
    /// The input left memory that nothing points to.
    Leak,
    /// The slowest input of the run, kept because it was very slow; not a failure.
    SlowUnit,
}

impl ArtifactKind {
    /// Judges by the prefix of the file name.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let kinds = [
            ("crash-", Self::Crash),
            ("timeout-", Self::Timeout),
            ("oom-", Self::OutOfMemory),
            ("leak-", Self::Leak),
            ("slow-unit-", Self::SlowUnit),
        ];
        kinds.into_iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, kind)| kind)
    }

    /// Whether the campaign fails because of it.
    pub(super) fn is_failure(self) -> bool {
        self != Self::SlowUnit
    }

    /// What to call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Timeout => "timeout",
            Self::OutOfMemory => "out of memory",
            Self::Leak => "leak",
            Self::SlowUnit => "slow input",
        }
    }
}

/// A file with such an input.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Artifact {
    /// What happened.
    pub(super) kind: ArtifactKind,
    /// Where libFuzzer wrote the input.
    pub(super) path: PathBuf,
}

/// Everything that the lines of one run told so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// The last status line, with the highest count of executions seen.
    pub(super) status: Status,
    /// How many inputs with new coverage were added to the corpus.
    pub(super) new_inputs: u64,
    /// Inputs that libFuzzer wrote for a person to see.
    pub(super) artifacts: Vec<Artifact>,
    /// What the harness counted.
    pub(super) counts: Counts,
}

impl Progress {
    /// Takes in one more line.
    pub(super) fn take(&mut self, line: &str) {
        match parse(line) {
            Line::Status(status) => {
                self.new_inputs += u64::from(status.is_new);
                let executions = self.status.executions.max(status.executions);
                self.status = Status { executions, ..status };
            }
            Line::Stat { name: "number_of_executed_units", value } => {
                self.status.executions = self.status.executions.max(value);
            }
            Line::Artifact(path) => {
                if let Some(kind) = ArtifactKind::of(path) {
                    self.artifacts.push(Artifact { kind, path: path.to_owned() });
                }
            }
            Line::Counts(counts) => self.counts = counts,
            Line::Stat { .. } | Line::Other => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(line: &str) -> Status {
        match parse(line) {
            Line::Status(status) => status,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_new_input_has_every_number() {
        let line = "#12345\tNEW    cov: 210 ft: 340 corp: 50/2345b lim: 15 exec/s: 12345 rss: 60Mb \
                    L: 4/15 MS: 2 CopyPart-EraseBytes-";
        let expected = Status {
            is_new: true,
            executions: 12345,
            coverage: 210,
            features: 340,
            corpus: 50,
            exec_per_second: 12345,
        };
        assert_eq!(status(line), expected);
    }

    #[test]
    fn other_events_are_not_new_inputs() {
        for event in ["READ  ", "INITED", "REDUCE", "RELOAD", "pulse ", "DONE  "] {
            let status =
                status(&format!("#7\t{event} cov: 3 ft: 4 corp: 2/12Kb exec/s: 0 rss: 1Mb"));
            assert!(!status.is_new);
            assert_eq!((status.executions, status.coverage, status.corpus), (7, 3, 2));
        }
    }

    #[test]
    fn numbers_that_are_zero_are_left_out() {
        let status = status("#2\tINITED exec/s: 0 rss: 30Mb");
        assert_eq!(status, Status { executions: 2, ..Status::default() });
    }

    #[test]
    fn final_statistics_have_a_name_and_a_value() {
        let line = "stat::number_of_executed_units: 1048576";
        assert_eq!(parse(line), Line::Stat { name: "number_of_executed_units", value: 1_048_576 });
        let padded = "stat::average_exec_per_sec:     95325";
        assert_eq!(parse(padded), Line::Stat { name: "average_exec_per_sec", value: 95325 });
    }

    #[test]
    fn an_artifact_is_the_path_behind_the_sentence() {
        let line = "artifact_prefix='/a b/'; Test unit written to /a b/crash-0123";
        assert_eq!(parse(line), Line::Artifact(Path::new("/a b/crash-0123")));
        assert_eq!(parse("Test unit written to /a"), Line::Other);
    }

    #[test]
    fn the_kind_of_an_artifact_is_its_prefix() {
        let kind = |name: &str| ArtifactKind::of(&Path::new("/x").join(name));
        assert_eq!(kind("crash-00"), Some(ArtifactKind::Crash));
        assert_eq!(kind("timeout-00"), Some(ArtifactKind::Timeout));
        assert_eq!(kind("oom-00"), Some(ArtifactKind::OutOfMemory));
        assert_eq!(kind("leak-00"), Some(ArtifactKind::Leak));
        assert_eq!(kind("slow-unit-00"), Some(ArtifactKind::SlowUnit));
        assert_eq!(kind("readme"), None);
        assert!(!ArtifactKind::SlowUnit.is_failure());
        assert!(ArtifactKind::Leak.is_failure());
    }

    #[test]
    fn counts_may_be_any_subset() {
        let Line::Counts(counts) = parse("vhost-fuzz-stats: inputs=9 bytes=180 later=1") else {
            panic!("not a counts line");
        };
        let expected = Counts { inputs: Some(9), bytes: Some(180), ..Counts::default() };
        assert_eq!(counts, expected);
        assert_eq!(parse("vhost-fuzz-stats:"), Line::Counts(Counts::default()));
        assert_eq!(parse("vhost-fuzz-stats: inputs=many"), Line::Other);
        assert_eq!(parse("vhost-fuzz-stats: inputs"), Line::Other);
    }

    #[test]
    fn progress_sums_up_a_run() {
        let mut progress = Progress::default();
        for line in [
            "INFO: Seed: 1",
            "#3\tINITED cov: 18 ft: 18 corp: 2/20b exec/s: 0 rss: 38Mb",
            "#9\tNEW    cov: 19 ft: 20 corp: 3/23b lim: 4 exec/s: 0 rss: 38Mb L: 3/15 MS: 1 X-",
            "thread '<unnamed>' panicked at harness/src/target/x.rs:4:5:",
            "artifact_prefix='/a/'; Test unit written to /a/crash-1",
            "stat::number_of_executed_units: 12",
            "vhost-fuzz-stats: inputs=12 bytes=30",
        ] {
            progress.take(line);
        }
        assert_eq!(progress.status.executions, 12);
        assert_eq!(progress.status.coverage, 19);
        assert_eq!(progress.new_inputs, 1);
        assert_eq!(progress.artifacts.len(), 1);
        assert_eq!(progress.counts.inputs, Some(12));
    }

    #[test]
    fn garbage_is_other() {
        for line in [
            "",
            "#",
            "#\t",
            "#x\tNEW cov: 1",
            "#1 NEW cov: 1",
            "#1\tSURPRISE cov: 1",
            "#1\tNEW cov:",
            "#1\tNEW cov: many",
            "#1\tNEW corp: /3b",
            "#99999999999999999999999\tNEW",
            "#0 0x55bb54fbe64d in main",
            "stat::",
            "stat::x",
            "stat::x: -1",
            "artifact_prefix='/a/'",
            "\u{fffd}\u{fffd}#1\tNEW",
        ] {
            assert_eq!(parse(line), Line::Other, "{line:?}");
        }
    }

    #[test]
    fn every_cut_and_every_flipped_byte_of_a_log_is_survived() {
        let log = "#9\tNEW    cov: 19 ft: 20 corp: 3/23b exec/s: 5 rss: 38Mb\n\
                   artifact_prefix='/a/'; Test unit written to /a/crash-1\n\
                   stat::number_of_executed_units: 12\n\
                   vhost-fuzz-stats: inputs=12 bytes=30\n";
        for at in 0..log.len() {
            for mask in [0x00, 0x01, 0x20, 0x80, 0xff] {
                let mut bytes = log.as_bytes().to_vec();
                bytes[at] ^= mask;
                let mut progress = Progress::default();
                let mut lines = Lines::default();
                lines.push(&bytes[..at], |line| progress.take(line));
                lines.push(&bytes[at..], |line| progress.take(line));
                lines.finish(|line| progress.take(line));
                if mask == 0 {
                    assert_eq!(progress.counts.bytes, Some(30), "cut at {at}");
                }
            }
        }
    }

    #[test]
    fn lines_are_cut_however_the_stream_arrives() {
        let stream = b"one\n\ntwo\r\nthree";
        for size in 1..=stream.len() {
            let mut seen = Vec::new();
            let mut lines = Lines::default();
            for chunk in stream.chunks(size) {
                lines.push(chunk, |line| seen.push(line.to_owned()));
            }
            lines.finish(|line| seen.push(line.to_owned()));
            assert_eq!(seen, ["one", "", "two", "three"], "chunks of {size}");
        }
    }

    #[test]
    fn an_endless_line_is_bounded() {
        let mut seen = Vec::new();
        let mut lines = Lines::default();
        for _ in 0..100 {
            lines.push(&[b'x'; 1000], |_| panic!("no line ended"));
            assert!(lines.partial.len() <= LINE_LIMIT);
        }
        lines.push(b"\n#1\tDONE\n", |line| seen.push(line.to_owned()));
        assert_eq!(seen, ["x".repeat(LINE_LIMIT), "#1\tDONE".to_owned()]);
    }
}
