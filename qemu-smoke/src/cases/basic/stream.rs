//! Bytes on the socket: what is taken apart, put together, too long or cut off.

use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use vhost_fuzz_core::vhost_user::{
    DEFAULT_PAYLOAD_LIMIT, Flags, FrontendRequest as R, HEADER_LEN, Message, Payload,
};
use vhost_fuzz_world::ram::{Layout, Shared};

use super::{Case, Served, case};
use crate::front::{Wire, encode};
use crate::trial::Trial;

pub(super) const CASES: &[Case] = &[
    case("basic.pieces", "messages that come byte by byte, a pause between", pieces),
    case("basic.two-at-once", "two and fifty messages in one write", two_at_once),
    case("basic.payload-too-large", "a payload of more bytes than any message has", |trial| {
        let sizes = [DEFAULT_PAYLOAD_LIMIT + 1, 1 << 20, u32::MAX];
        ends(trial, &sizes.map(|size| header(R::SET_FEATURES, Flags::REQUEST.0, size)))
    }),
    case(
        "basic.payload-wrong-size",
        "a payload that is shorter or longer than it should be",
        |trial| {
            let sizes = [0_u8, 1, 7, 9, 16];
            let messages = sizes.map(|size| {
                let mut bytes = header(R::SET_FEATURES, Flags::REQUEST.0, size.into());
                bytes.extend(vec![0; size.into()]);
                bytes
            });
            ends(trial, &messages)
        },
    ),
    case("basic.version", "versions 0, 2 and 3 of the protocol, which do not exist", |trial| {
        ends(trial, &[0, 2, 3].map(|flags| header(R::GET_FEATURES, flags, 0)))
    }),
    case("basic.reply-flag", "a request that says it is a reply", |trial| {
        ends(trial, &[header(R::GET_FEATURES, Flags::REPLY.0, 0)])
    }),
    case("basic.stray-fds", "descriptors with a message that has none", stray_fds),
    case("basic.cut-header", "a front-end that is gone in the middle of a header", |trial| {
        cut(trial, &[1, 4, 11])
    }),
    case("basic.cut-payload", "a front-end that is gone in the middle of a payload", |trial| {
        cut(trial, &[HEADER_LEN, HEADER_LEN + 1, HEADER_LEN + 7])
    }),
    case("basic.gone-unread", "a front-end that does not read its answers", gone_unread),
];

/// A header of any sort.
fn header(request: R, flags: u32, size: u32) -> Vec<u8> {
    [request.0, flags, size].map(u32::to_ne_bytes).concat()
}

fn get_features() -> Result<Vec<u8>> {
    encode(&Message::frontend(R::GET_FEATURES, Payload::None))
}

fn pieces(trial: &mut Trial) -> Result<()> {
    let served = Served::start(trial, &[])?;
    let mut wire = served.wire()?;
    let features = wire.features()?;
    let messages = [
        get_features()?,
        encode(&Message::frontend(R::SET_FEATURES, Payload::U64(features)))?,
        encode(&Message::frontend(R::SET_OWNER, Payload::None))?,
        get_features()?,
    ];
    for byte in messages.concat().chunks(1) {
        wire.bytes(byte, &[])?;
        std::thread::sleep(Duration::from_millis(1));
    }
    for _ in 0..2 {
        let answer = wire.hear_number(R::GET_FEATURES.0)?;
        ensure!(answer == features, "{answer:#x} is offered, and before {features:#x}");
    }
    // A table with its descriptors, which come with the first byte.
    let ram = Shared::new(Layout::Large)?;
    let regions = ram.layout().regions();
    let bytes = vhost_fuzz_core::vhost_user::payload::RegionBytes::new(&regions);
    let count = u32::try_from(regions.len())?;
    let table = vhost_fuzz_core::vhost_user::payload::MemTable::new(
        count,
        vhost_fuzz_core::vhost_user::Layout::default(),
        bytes.as_bytes(),
    );
    let bytes = encode(&Message::frontend(R::SET_MEM_TABLE, Payload::MemTable(table)))?;
    let fds = vec![ram.file().as_fd(); regions.len()];
    let (first, rest) = bytes.split_at(1);
    wire.bytes(first, &fds)?;
    for byte in rest.chunks(1) {
        wire.bytes(byte, &[])?;
    }
    wire.features().context("after a memory table in pieces")?;
    trial.note(
        "in pieces",
        format!("{} bytes, and a table of {count} regions", messages.concat().len()),
    );
    Ok(())
}

fn two_at_once(trial: &mut Trial) -> Result<()> {
    let served = Served::start(trial, &[])?;
    let mut wire = served.wire()?;
    for count in [2, 50] {
        wire.bytes(&get_features()?.repeat(count), &[])?;
        for at in 0..count {
            wire.hear_number(R::GET_FEATURES.0).with_context(|| format!("{at} of {count}"))?;
        }
    }
    // One and a half, and the other half.
    let (one, half) = (get_features()?, HEADER_LEN / 2);
    wire.bytes(&[&one[..], &one[..half]].concat(), &[])?;
    wire.hear_number(R::GET_FEATURES.0)?;
    wire.bytes(&one[half..], &[])?;
    wire.hear_number(R::GET_FEATURES.0)?;
    Ok(())
}

/// Each of these messages ends a connection, and the next front-end is served.
fn ends(trial: &mut Trial, messages: &[Vec<u8>]) -> Result<()> {
    let mut served = Served::start(trial, &[])?;
    for (at, message) in messages.iter().enumerate() {
        let mut wire = served.wire()?;
        wire.features()?;
        wire.bytes(message, &[])?;
        let head = &message[..HEADER_LEN];
        wire.is_closed().with_context(|| format!("{head:02x?}"))?;
        let said = served.ended(trial, at + 1)?;
        let words = said.split("; so far").next().unwrap_or_default().to_owned();
        ensure!(!words.contains("closed the connection"), "{head:02x?}: the back-end says {said}");
        trial.note(&format!("message {at}"), words);
    }
    served.serves()
}

fn stray_fds(trial: &mut Trial) -> Result<()> {
    let mut served = Served::start(trial, &[])?;
    let wire = served.wire()?;
    let file = std::fs::File::open("/dev/null")?;
    wire.bytes(&get_features()?, &[file.as_fd(), file.as_fd()])?;
    let mut wire = wire;
    wire.is_closed()?;
    trial.note("back-end", served.ended(trial, 1)?);
    served.serves()
}

/// `SET_FEATURES` up to so many bytes, by a front-end that is gone then, in both ways.
fn cut(trial: &mut Trial, lengths: &[usize]) -> Result<()> {
    let mut served = Served::start(trial, &[])?;
    let message = encode(&Message::frontend(R::SET_FEATURES, Payload::U64(0)))?;
    for (at, len) in lengths.iter().enumerate() {
        let wire = served.wire()?;
        wire.bytes(&message[..*len], &[])?;
        if at % 2 == 1 {
            wire.stream.shutdown(Shutdown::Write)?;
        }
        drop(wire);
        let said = served.ended(trial, 2 * at + 1)?;
        trial.note(&format!("{len} bytes"), said.split(';').next().unwrap_or_default());
        served.serves().with_context(|| format!("after {len} bytes"))?;
        served.ended(trial, 2 * at + 2)?;
    }
    Ok(())
}

fn gone_unread(trial: &mut Trial) -> Result<()> {
    let mut served = Served::start(trial, &[])?;
    let wire = served.wire()?;
    // As much as the socket takes; who does not read must not keep the back-end for ever.
    wire.bytes(&get_features()?.repeat(100), &[])?;
    drop(wire);
    trial.note("back-end", served.ended(trial, 1)?);
    served.serves()?;
    let _: Wire = served.wire()?;
    Ok(())
}
