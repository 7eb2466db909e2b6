//! Our front-end against back-ends that answer as a script says: what it learns of a right one,
//! and that it takes nothing from a wrong one.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use vhost_fuzz_core::vhost_user::FrontendRequest as R;
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};

use super::{Case, case};
use crate::front::{Negotiation, PATIENCE};
use crate::scripted::{Script, Scripted, Wrong};
use crate::trial::Trial;

pub(super) const CASES: &[Case] = &[
    case("basic.peer", "our front-end learns what a back-end offers", |trial| {
        learns(trial, Script::default())
    }),
    case("basic.peer-slow", "the same when answers come byte by byte", |trial| {
        learns(trial, Script { is_slow: true, ..Script::default() })
    }),
    case("basic.peer-old", "a back-end without protocol features is not asked for them", |trial| {
        let features = virtio::VERSION_1;
        learns(trial, Script { features, protocol: 0, ..Script::default() })
    }),
    case("basic.peer-poor", "a back-end with no protocol feature that we know", |trial| {
        learns(trial, Script { protocol: 1 << 40, ..Script::default() })
    }),
    case("basic.peer-refuses", "a request that is refused is an error that names it", |trial| {
        let script = Script { refuses: Some(R::SET_FEATURES), ..Script::default() };
        notices(trial, script, "SET_FEATURES was refused")
    }),
    case("basic.peer-id", "an answer to another request", |trial| {
        wrong(trial, Wrong::Id, "GET_PROTOCOL_FEATURES: the reply is wrong")
    }),
    case("basic.peer-version", "an answer of version 2", |trial| {
        wrong(trial, Wrong::Version, "version")
    }),
    case("basic.peer-no-flag", "an answer that does not say that it is one", |trial| {
        wrong(trial, Wrong::NoReplyFlag, "reply")
    }),
    case("basic.peer-short", "an answer with a byte too few", |trial| {
        wrong(trial, Wrong::Short, "wrong")
    }),
    case("basic.peer-long", "an answer with eight bytes too many", |trial| {
        wrong(trial, Wrong::Long, "wrong")
    }),
    case("basic.peer-huge", "an answer that says it has 2 GiB", |trial| {
        wrong(trial, Wrong::Huge, "wrong")
    }),
    case("basic.peer-descriptor", "an answer with a descriptor that nobody asked for", |trial| {
        wrong(trial, Wrong::Descriptor, "wrong")
    }),
    case("basic.peer-cut-header", "an answer that ends in its header", |trial| {
        wrong(trial, Wrong::CutHeader, "")
    }),
    case("basic.peer-cut-payload", "an answer that ends in its payload", |trial| {
        wrong(trial, Wrong::CutPayload, "")
    }),
    case("basic.peer-gone", "a back-end that closes the connection", |trial| {
        wrong(trial, Wrong::Closed, "the connection was closed")
    }),
    case("basic.peer-silent", "a back-end that says nothing is not waited for for ever", |trial| {
        wrong(trial, Wrong::Silence, "there is no reply within")
    }),
    case("basic.peer-missing", "nobody listens: the error says so", missing),
];

/// How long the front-end waits for a wrong answer.
const BRIEFLY: Duration = Duration::from_millis(500);

fn learns(trial: &mut Trial, script: Script) -> Result<()> {
    let peer = Scripted::start(&trial.path("peer"), script.clone())?;
    let learned = Negotiation::of(peer.path())?;
    ensure!(
        learned.features == script.features,
        "features {:#x} are offered, and {:#x} are learned",
        script.features,
        learned.features
    );
    let has_protocol = script.features & virtio::PROTOCOL_FEATURES != 0;
    let expected = has_protocol.then_some(script.protocol);
    ensure!(learned.protocol == expected, "protocol features {:x?}", learned.protocol);
    let has = |bit: u64| script.protocol & bit != 0;
    let queues = has(protocol::MQ).then_some(script.queues);
    ensure!(learned.queues == queues, "queues {:?}, and not {queues:?}", learned.queues);
    let slots = has(protocol::CONFIGURE_MEM_SLOTS).then_some(script.mem_slots);
    ensure!(learned.mem_slots == slots, "slots {:?}, and not {slots:?}", learned.mem_slots);
    let config = has(protocol::CONFIG).then_some(Ok(script.config));
    ensure!(learned.config == config, "the space is {:?}, not {config:?}", learned.config);
    let heard = peer.heard();
    if !has_protocol {
        let asked = heard.iter().find(|words| words.contains("PROTOCOL"));
        ensure!(asked.is_none(), "without protocol features, the back-end hears {asked:?}");
    }
    trial.note("the back-end heard", heard.join("\n"));
    Ok(())
}

/// One of the answers is wrong.
fn wrong(trial: &mut Trial, wrong: Wrong, words: &str) -> Result<()> {
    let wrong = Some((R::GET_PROTOCOL_FEATURES, wrong));
    notices(trial, Script { wrong, ..Script::default() }, words)
}

/// The front-end stops with an error that has these words.
fn notices(trial: &mut Trial, script: Script, words: &str) -> Result<()> {
    let peer = Scripted::start(&trial.path("peer"), script)?;
    let begin = Instant::now();
    let learned = Negotiation::within(peer.path(), BRIEFLY);
    let elapsed = begin.elapsed();
    let Err(error) = learned else {
        return Err(anyhow::anyhow!("the front-end takes it, and learns {learned:?}"));
    };
    let error = format!("{error:#}");
    ensure!(error.contains(words), "the error is {error:?}, and does not say {words:?}");
    ensure!(elapsed < PATIENCE, "it took {} s", elapsed.as_secs());
    let last = peer.heard().pop().context("the back-end heard nothing")?;
    ensure!(!last.contains("GET_CONFIG"), "the front-end goes on after it: {last}");
    trial.note("error", error);
    Ok(())
}

fn missing(trial: &mut Trial) -> Result<()> {
    let path = trial.path("nobody");
    let error = Negotiation::of(&path).err().context("somebody is there")?.to_string();
    ensure!(error.contains("there is no such socket"), "{error}");
    drop(std::os::unix::net::UnixListener::bind(&path)?);
    let error = Negotiation::of(&path).err().context("somebody is there")?.to_string();
    ensure!(error.contains("nobody listens"), "{error}");
    trial.note("error", error);
    Ok(())
}
