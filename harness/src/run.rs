//! What surrounds every input of a target: counts for `cargo xtask fuzz --bench`, and a
//! ready-to-paste test when the run panics.
//!
//! With [`STATS`] set, a process prints one line when the thread that ran the inputs ends:
//!
//! ```text
//! vhost-fuzz-stats: inputs=1 bytes=20 accepted=1 messages=1
//! ```

use std::cell::Cell;
use std::sync::Once;

use crate::report;

/// The variable that asks for the line of counts.
pub const STATS: &str = "VHOST_FUZZ_STATS";

/// What a run of a target found in its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Whether the input is legal.
    pub is_accepted: bool,
    /// Messages that were judged.
    pub messages: usize,
}

/// The state of one thread: one access to it before an input and one after keep the price low.
#[derive(Default)]
struct Runs {
    target: Cell<&'static str>,
    /// A copy of the input at its front.
    input: Cell<Vec<u8>>,
    len: Cell<usize>,
    inputs: Cell<u64>,
    bytes: Cell<u64>,
    accepted: Cell<u64>,
    messages: Cell<u64>,
}

thread_local! {
    static RUNS: Runs = Runs::default();
}

impl Drop for Runs {
    fn drop(&mut self) {
        if std::env::var_os(STATS).is_some() {
            eprintln!(
                "vhost-fuzz-stats: inputs={} bytes={} accepted={} messages={}",
                self.inputs.get(),
                self.bytes.get(),
                self.accepted.get(),
                self.messages.get(),
            );
        }
    }
}

/// Runs the body of `target` on one input.
///
/// # Panics
/// When the body does; the message is preceded by a test that runs the input again.
pub fn input(target: &'static str, bytes: &[u8], body: impl FnOnce(&[u8]) -> Summary) {
    static HOOK: Once = Once::new();
    if !HOOK.is_completed() {
        HOOK.call_once(install);
    }
    RUNS.with(|runs| {
        let mut input = runs.input.take();
        if input.len() < bytes.len() {
            input.resize(bytes.len(), 0);
        }
        input[..bytes.len()].copy_from_slice(bytes);
        runs.input.set(input);
        runs.len.set(bytes.len());
        runs.target.set(target);
        let summary = body(bytes);
        // A later panic on this thread is not the target's.
        runs.target.set("");
        let add = |cell: &Cell<u64>, value: u64| cell.set(cell.get().wrapping_add(value));
        add(&runs.inputs, 1);
        add(&runs.bytes, bytes.len() as u64);
        add(&runs.accepted, summary.is_accepted.into());
        add(&runs.messages, summary.messages as u64);
    });
}

fn install() {
    let next = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // The hook also runs for panics of threads that run no input, or that are ending.
        let text = RUNS.try_with(|runs| match runs.target.get() {
            "" => String::new(),
            target => {
                let input = runs.input.take();
                report::test(target, input.get(..runs.len.get()).unwrap_or_default())
            }
        });
        eprint!("{}", text.unwrap_or_default());
        next(info);
    }));
}
