//! What the models say about an input, in the words of the manifests.

mod back_end;
mod requests;
mod ring;

use anyhow::{Result, bail};
use vhost_fuzz_core::vhost_user::Kind;
use vhost_fuzz_harness::context::Context;
use vhost_fuzz_harness::ipv6::Outcome;
use vhost_fuzz_harness::oracle::gateway;
use vhost_fuzz_harness::oracle::stream::LIMIT;
use vhost_fuzz_harness::script;
use vhost_fuzz_harness::session::offer::ScriptOffer;
use vhost_fuzz_harness::target::mem_table::{self, SLOTS, Step};
use vhost_fuzz_harness::target::msg_stream::{self, Stream};
use vhost_fuzz_harness::target::{
    TARGETS, Target, dhcp, dhcpv6, diff_virtio_queue, ndp, net_device, net_header,
};
use vhost_fuzz_model::Verdict;
use vhost_fuzz_model::vhost_user::{message, stream};

pub(super) use back_end::{Answer, BackEnd, Heard};
pub(super) use ring::{Answer as RingAnswer, Rings, form as ring_form};

/// What `expect` says of an input that breaks no rule.
pub(super) const ACCEPT: &str = "accept";

/// What came out of one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    /// [`ACCEPT`], or the id of the rule that the input breaks first.
    pub(super) verdict: String,
    /// Kind, id and legality of each message that was cut out.
    pub(super) messages: Vec<Judged>,
}

/// One message of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    /// What it is judged as.
    pub(super) context: Context,
    /// Its id; `None` when the header is cut.
    pub(super) code: Option<u32>,
    /// Whether it breaks no rule.
    pub(super) is_legal: bool,
}

/// The target of a name.
///
/// # Errors
/// When there is none; the message lists them.
pub(super) fn target(name: &str) -> Result<&'static Target> {
    match TARGETS.iter().find(|target| target.name == name) {
        Some(target) => Ok(target),
        None => {
            let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            bail!("there is no target `{name}`; expected one of {}", names.join(", "))
        }
    }
}

/// Whether the inputs of a target are about one ring.
pub(super) fn is_ring(target: &str) -> bool {
    ["packed_chain", "packed_ring", "split_chain", "split_ring"].contains(&target)
}

/// Judges an input of a target by the models alone, so that an input which makes the code panic
/// can be judged too.
///
/// # Errors
/// When the target has no model here.
pub(super) fn judge(target: &str, input: &[u8]) -> Result<Judgement> {
    match target {
        "arp" => Ok(judge_gateway(input)),
        "dhcp" => Ok(judge_dhcp(input)),
        "diff_vhost" => Ok(requests::judge(input)),
        "diff_virtio_queue" => Ok(judge_queue(input)),
        "mem_table" => Ok(judge_memory(input)),
        "msg_decode" => Ok(judge_message(input)),
        "msg_stream" => Ok(judge_script(input)),
        "net_device" => Ok(judge_device(input)),
        "net_header" => Ok(judge_header(input)),
        "dhcpv6" => Ok(judge_frames(dhcpv6::judge(input))),
        "ndp" => Ok(judge_frames(ndp::judge(input))),
        // Drivers and devices that keep to the rules: no input breaks one.
        "ring_equivalence" => Ok(Judgement { verdict: ACCEPT.to_owned(), messages: Vec::new() }),
        "session" => Ok(judge_session(input)),
        target if is_ring(target) => Ok(Rings::of(target, input).judgement()),
        _ => bail!("corpus/{target}: this target has no model; add one to xtask's judge.rs"),
    }
}

/// The verdict is the first rule that a frame or its reply breaks. There are no messages.
fn judge_gateway(input: &[u8]) -> Judgement {
    let broken = gateway::broken(&gateway::judge(input));
    let verdict = broken.map_or(ACCEPT.to_owned(), |rule| rule.to_string());
    Judgement { verdict, messages: Vec::new() }
}

/// The verdict is the first rule by which a message is dropped. These are no vhost-user messages.
fn judge_dhcp(input: &[u8]) -> Judgement {
    let broken = dhcp::judge(input).find_map(|(_, said)| said.err());
    let verdict = broken.map_or(ACCEPT.to_owned(), |rule| rule.to_string());
    Judgement { verdict, messages: Vec::new() }
}

/// The verdict is the first rule that a frame breaks. Frames are no messages of a session.
fn judge_frames(outcome: Outcome) -> Judgement {
    let verdict = outcome.broken.map_or(ACCEPT.to_owned(), |rule| rule.to_string());
    Judgement { verdict, messages: Vec::new() }
}

fn judge_message(input: &[u8]) -> Judgement {
    let (bytes, context) = Context::split(input);
    let verdict = match message::judge(context.model(), bytes, context.fds) {
        Verdict::Accept(_) => ACCEPT.to_owned(),
        Verdict::Reject(rule) => rule.to_string(),
    };
    let judged = Judged { context, code: code(bytes), is_legal: verdict == ACCEPT };
    Judgement { verdict, messages: vec![judged] }
}

/// Every request about memory is a message; it is legal when the memory takes it, too.
fn judge_memory(input: &[u8]) -> Judgement {
    let broken = mem_table::judge(input).broken;
    let mut judgement = Judgement {
        verdict: broken.map_or(ACCEPT.to_owned(), |rule| rule.to_string()),
        messages: Vec::new(),
    };
    let mut machine = Step::Start { features: 0, protocol_features: 0, slots: SLOTS }.machine();
    for step in mem_table::steps(input) {
        let fds = match &step {
            Step::Request { bytes, files } => {
                Some((bytes.clone(), mem_table::attached(&machine, bytes, files.as_deref()).len()))
            }
            _ => None,
        };
        let verdict = step.judge(&mut machine);
        if let Some((bytes, fds)) = fds {
            let context = Context::plain(Kind::FRONTEND_REQUEST, fds);
            let is_legal = verdict == Some(Ok(()));
            judgement.messages.push(Judged { context, code: code(&bytes), is_legal });
        }
    }
    judgement
}

/// The verdict is the first requirement that the ring or a chain breaks. There are no messages.
fn judge_queue(input: &[u8]) -> Judgement {
    let mut came = diff_virtio_queue::judge(input).into_iter().flat_map(|(_, came)| came);
    let broken = came.find_map(|came| came.broken());
    let verdict = broken.map_or(ACCEPT.to_owned(), |rule| rule.to_string());
    Judgement { verdict, messages: Vec::new() }
}

/// The verdict is the first rule that a queue, a chain, a frame or a command breaks.
fn judge_device(input: &[u8]) -> Judgement {
    let broken = net_device::judge(input).broken;
    let verdict = broken.first().map_or(ACCEPT.to_owned(), |rule| rule.to_string());
    Judgement { verdict, messages: Vec::new() }
}

/// One frame, which is no message.
fn judge_header(input: &[u8]) -> Judgement {
    let verdict = net_header::judge(input).err().map_or(ACCEPT.to_owned(), |rule| rule.to_string());
    Judgement { verdict, messages: Vec::new() }
}

fn judge_script(input: &[u8]) -> Judgement {
    let mut judgement = Judgement { verdict: ACCEPT.to_owned(), messages: Vec::new() };
    for stream in msg_stream::streams(input) {
        let outcome = judge_stream(&stream);
        if let Some(rule) = outcome.error
            && judgement.verdict == ACCEPT
        {
            judgement.verdict = rule.to_string();
        }
        judgement.messages.extend(judged(stream.kind, &outcome));
    }
    judgement
}

/// The verdict is the first refusal of the back-end, which listens to the main channel. What goes
/// over the other streams is counted, and judged message by message.
fn judge_session(input: &[u8]) -> Judgement {
    let records = script::decode(input);
    let mut back_end = BackEnd::new(&ScriptOffer::of_script(&records));
    let mut judgement = Judgement { verdict: ACCEPT.to_owned(), messages: Vec::new() };
    for (record, next) in records.iter().zip(records.iter().skip(1).map(Some).chain([None])) {
        for answer in back_end.record(record, next).answers {
            if let Some(rule) = answer.refusal()
                && judgement.verdict == ACCEPT
            {
                judgement.verdict = rule.to_string();
            }
            judgement.messages.push(Judged {
                context: Context::plain(Kind::FRONTEND_REQUEST, answer.fds),
                code: code(&answer.bytes),
                is_legal: answer.refusal().is_none(),
            });
        }
    }
    let others = msg_stream::streams(input);
    for stream in others.iter().filter(|stream| stream.kind != Kind::FRONTEND_REQUEST) {
        judgement.messages.extend(judged(stream.kind, &judge_stream(stream)));
    }
    judgement
}

/// The messages of a stream, each judged by itself.
fn judged(kind: Kind, outcome: &stream::Outcome) -> impl Iterator<Item = Judged> {
    outcome.messages.iter().map(move |(bytes, fds)| {
        let context = Context::plain(kind, fds.len());
        let verdict = message::judge(context.model(), bytes, fds.len());
        let is_legal = matches!(verdict, Verdict::Accept(_));
        Judged { context, code: code(bytes), is_legal }
    })
}

/// What the model takes out of one stream.
pub(super) fn judge_stream(stream: &Stream) -> stream::Outcome {
    stream::judge(Context::plain(stream.kind, 0).model(), LIMIT, &stream.segments)
}

/// The id at the front of a message.
pub(super) fn code(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|code| u32::from_ne_bytes(*code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_model() {
        for target in TARGETS {
            assert!(judge(target.name, &[]).is_ok(), "{}", target.name);
        }
        assert!(judge("no_such", &[]).is_err());
    }

    #[test]
    fn a_name_that_is_no_target_gets_the_list() {
        let error = target("msg_decod").expect_err("no target").to_string();
        assert_eq!(
            error,
            "there is no target `msg_decod`; expected one of arp, dhcp, dhcpv6, diff_vhost, diff_virtio_queue, mem_table, msg_decode, msg_stream, ndp, net_device, net_header, packed_chain, packed_ring, ring_equivalence, session, split_chain, split_ring"
        );
    }
}
