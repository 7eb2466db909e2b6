//! Judges the requests that two back-ends are compared on, each by itself: what a session makes
//! of it is another target's.

use vhost_fuzz_core::vhost_user::Kind;
use vhost_fuzz_harness::context::Context;
use vhost_fuzz_harness::oracle::stream::LIMIT;
use vhost_fuzz_harness::target::diff_vhost::{End, Request, requests};
use vhost_fuzz_model::vhost_user::{message, stream};
use vhost_fuzz_model::{Id, Verdict};

use super::{ACCEPT, Judged, Judgement, code};

const SET_PROTOCOL_FEATURES: u32 = 16;
/// Bit 1 of its value.
const LOG_SHMFD: u8 = 2;

/// The verdict is the first rule that a request breaks.
pub(super) fn judge(input: &[u8]) -> Judgement {
    let mut judgement = Judgement { verdict: ACCEPT.to_owned(), messages: Vec::new() };
    let plain = Context::plain(Kind::FRONTEND_REQUEST, 0);
    let mut layout = plain.layout;
    for request in requests(input) {
        let context = Context { layout, fds: request.fds.len(), ..plain };
        let broken = broken(context, &request);
        if let Some(rule) = broken
            && judgement.verdict == ACCEPT
        {
            judgement.verdict = rule.to_string();
        }
        if request.end != End::Whole {
            layout = plain.layout; // a new connection
            continue;
        }
        let code = code(&request.bytes);
        judgement.messages.push(Judged { context, code, is_legal: broken.is_none() });
        if let (Some(SET_PROTOCOL_FEATURES), Some(bits)) = (code, request.bytes.get(12)) {
            layout.log_shmfd = bits & LOG_SHMFD != 0;
        }
    }
    judgement
}

fn broken(context: Context, request: &Request) -> Option<Id> {
    if request.end == End::Closed {
        return None;
    }
    let Verdict::Reject(rule) = message::judge(context.model(), &request.bytes, context.fds) else {
        return None;
    };
    // What the framer refuses comes before what the message is.
    let segment = stream::Segment {
        bytes: request.bytes.clone(),
        fds: (0..).take(context.fds).collect(),
        control_truncated: false,
    };
    Some(stream::judge(context.model(), LIMIT, &[segment]).error.unwrap_or(rule))
}
