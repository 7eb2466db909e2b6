//! Calls for tests.

use super::{Act, Call};

/// Calls, one after another.
#[derive(Default)]
pub(super) struct Log {
    pub(super) calls: Vec<Call>,
}

impl Log {
    /// Any call.
    pub(super) fn call(mut self, fd: i64, act: Act, bytes: &[u8], fds: usize) -> Self {
        let line = self.calls.len() + 1;
        let (bytes, len) = (bytes.to_vec(), bytes.len());
        self.calls.push(Call { line, fd, act, bytes, len, fds, control_truncated: false });
        self
    }

    pub(super) fn send(self, fd: i64, words: &[u32]) -> Self {
        self.call(fd, Act::Send, &bytes(words), 0)
    }

    pub(super) fn receive(self, fd: i64, words: &[u32]) -> Self {
        self.call(fd, Act::Receive, &bytes(words), 0)
    }
}

/// Words as they are in messages.
pub(super) fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}
