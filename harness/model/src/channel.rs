//! What a back-end may ask on the back-end channel (spec §4, §6.6), and which replies may come.

use crate::vhost_user::{Context, message, number};
use crate::{Id, Verdict};

/// What a back-end knows when it wants to ask something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// `SET_BACKEND_REQ_FD` came.
    pub open: bool,
    /// Virtio features that were set.
    pub virtio: u64,
    /// Protocol features that were set.
    pub protocol: u64,
    /// Every ring is stopped.
    pub suspended: bool,
    /// Bytes of a page.
    pub page: u64,
}

impl State {
    fn has(&self, bit: u64) -> bool {
        self.protocol >> bit & 1 == 1
    }
}

/// Judges a request; when it may be sent, tells whether it has a reply.
#[must_use]
pub fn request(state: &State, bytes: &[u8], fds: usize) -> Verdict<bool> {
    match judge(state, bytes, fds) {
        Ok(answered) => Verdict::Accept(answered),
        Err(id) => Verdict::Reject(id),
    }
}

fn judge(state: &State, bytes: &[u8], fds: usize) -> Result<bool, Id> {
    if !state.open {
        return Err(Id::Vu(206));
    }
    if fds > 8 {
        return Err(Id::Vu(204));
    }
    let context = Context { backend_channel: true, ..Context::default() };
    if let Verdict::Reject(id) = message::judge(context, bytes, fds) {
        return Err(id);
    }
    let code = number(bytes, 0, 4);
    let asks = number(bytes, 4, 4) / 8 % 2 == 1;
    let (open, id) = match code {
        1 => (state.virtio >> 33 & 1 == 1, 26),
        2 => (state.has(9), 196),
        3 => (state.has(11), 234),
        4 | 5 => (state.has(14), 26),
        6..=8 => (state.has(18), 233),
        9 | 10 => (state.has(22), 26),
        _ => (false, 26),
    };
    if !open || !state.has(5) {
        return Err(Id::Vu(id));
    }
    if asks && !state.has(3) {
        return Err(Id::Vu(26));
    }
    if fds > 0 && !state.has(10) {
        return Err(Id::Vu(205));
    }
    if state.suspended {
        return Err(Id::Vu(75));
    }
    fields(state, code, &bytes[12..])?;
    Ok(asks || code == 8)
}

fn fields(state: &State, code: u64, body: &[u8]) -> Result<(), Id> {
    match code {
        1 => match (number(body, 25, 1), number(body, 24, 1)) {
            (1 | 4, 1..=3) => Ok(()),
            (4, _) => Err(Id::Vu(213)),
            _ => Err(Id::Vu(212)),
        },
        3 if (number(body, 0, 8) / 256).is_multiple_of(2) && number(body, 8, 8) != state.page => {
            Err(Id::Vu(235))
        }
        4 | 5 if number(body, 4, 4) != 0 => Err(Id::Vu(220)),
        9 | 10 => {
            let end = u128::from(number(body, 16, 8)) + u128::from(number(body, 24, 8));
            if number(body, 24, 8) == 0 || end > u128::from(u64::MAX) {
                return Err(Id::Vu(if code == 9 { 241 } else { 246 }));
            }
            if code == 9 && number(body, 32, 8) > 1 {
                return Err(Id::Vu(245));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Judges a reply; `awaited` are the ids of the requests that wait for one, oldest first.
#[must_use]
pub fn reply(awaited: &[u64], bytes: &[u8], fds: usize) -> Verdict<()> {
    let context = Context { backend_channel: true, reply: true, ..Context::default() };
    if let Verdict::Reject(id) = message::judge(context, bytes, fds) {
        return Verdict::Reject(id);
    }
    let code = number(bytes, 0, 4);
    match awaited.first() {
        Some(oldest) if *oldest == code => Verdict::Accept(()),
        // Nobody asked, or asked for it later.
        None => Verdict::Reject(Id::Vu(10)),
        Some(_) if awaited.contains(&code) => Verdict::Reject(Id::Vu(10)),
        Some(_) => Verdict::Reject(Id::Vu(9)),
    }
}
