//! Judges whatever reads and writes the header in front of a frame.

#[cfg(feature = "peer-net")]
mod wire;

use vhost_fuzz_core::net::checksum::Transport;
use vhost_fuzz_core::net::header::{
    Checksum, HEADER_LEN_MAX, Header, Headers, Port, Receive, Resource, Transmit,
};
use vhost_fuzz_model::Id;
use vhost_fuzz_model::net::header as model;

use crate::budget::without_allocating;
use crate::draw;
use crate::offload::Offload;
use crate::target::net_header::{Input, model_about, model_cut, model_port, version};

/// One input in so many is run again with the allocator watched.
const WATCH_ONE_IN: u64 = 32;

/// Runs every oracle on one input. Returns the verdict that code and model share.
///
/// # Errors
/// The requirement that the frame breaks, in the model's words.
///
/// # Panics
/// When an oracle finds a fault.
pub fn check(offload: &impl Offload, port: &Port, input: &Input<'_>) -> Result<(), Id> {
    let verdict = match *input {
        Input::Send { bytes, writable } => send(offload, port, bytes, writable),
        Input::Receive { frame, about } => receive(offload, port, frame, &about),
    };
    alive(offload, port);
    verdict
}

fn send(offload: &impl Offload, port: &Port, bytes: &[u8], writable: u64) -> Result<(), Id> {
    round_trip(offload, port, bytes);
    let expected = model::transmit(&model_port(port), bytes, writable);
    let got = offload.transmit(port, bytes, writable);
    if draw::number(bytes).is_multiple_of(WATCH_ONE_IN) {
        let _ = without_allocating("a frame to send", || offload.transmit(port, bytes, writable));
    }
    match (got, expected) {
        (Ok(got), Ok(expected)) => {
            #[cfg(feature = "peer-net")]
            wire::check(&got);
            assert!(
                sent(bytes, &got).as_ref() == Some(&expected),
                "model: the code reads {got:?}, the model {expected:?}"
            );
            let transport = Transport::Partial;
            assert!(
                (got.transport() == transport) == expected.checksum.is_some(),
                "model: the transport checksum is {:?} of {expected:?}",
                got.transport()
            );
            if let Some(checksum) = got.checksum {
                finish(offload, checksum, got.frame);
            }
            Ok(())
        }
        (Err(error), Err(id)) => {
            assert!(
                super::id(error.rule()) == id,
                "model: the code refuses by {error}, the model by {id:?}, {port:?}"
            );
            Err(id)
        }
        (Ok(got), Err(id)) => {
            panic!("model: the code accepts {got:?}, the model refuses it by {id:?}, {port:?}")
        }
        (Err(error), Ok(_)) => {
            panic!("model: the code refuses by {error} what the model accepts, {port:?}")
        }
    }
}

/// What the code read, in the words of the model; none when the frame is not the end of the
/// bytes.
fn sent(bytes: &[u8], got: &Transmit<'_>) -> Option<model::Sent> {
    let place = |checksum: Checksum| (checksum.start, checksum.offset);
    let headers = |headers: Headers| model::Headers {
        version: version(headers.ip),
        start: headers.transport,
        end: headers.len,
    };
    let frame = bytes.len().checked_sub(got.frame.len())?;
    (&bytes[frame..] == got.frame).then(|| model::Sent {
        frame,
        checksum: got.checksum.map(place),
        cut: got.segments.as_ref().map(model_cut),
        headers: got.headers.map(headers),
        outer_network: got.outer_network,
        resource: got.security.map(|Resource { id, kind }| (id, kind)),
    })
}

/// What is read is written alike, and what is not written was padding.
fn round_trip(offload: &impl Offload, port: &Port, bytes: &[u8]) {
    let len = model_port(port).header_len();
    let decoded = offload.decode(port.features, bytes);
    assert!(
        decoded.is_some() == (bytes.len() >= len),
        "round trip: {} bytes as a header of {len} are {decoded:?}",
        bytes.len()
    );
    let Some((header, _)) = decoded else { return };
    let mut out = [0xa5; HEADER_LEN_MAX];
    let written = offload.encode(&header, port.features, &mut out);
    assert!(written == Ok(len), "round trip: a header of {len} bytes is written as {written:?}");
    let again = offload.decode(port.features, &out[..len]).map(|(header, _)| header);
    assert!(again == Some(header), "round trip: {header:?} comes back as {again:?}");
    let differs = |(new, old): (&u8, &u8)| new != old && *new != 0;
    let at = out.iter().zip(&bytes[..len]).position(differs);
    assert!(at.is_none(), "round trip: byte {at:?} of {header:?} is neither as it was nor 0");
    let beyond = out[len..].iter().all(|byte| *byte == 0xa5);
    assert!(beyond, "round trip: more than {len} bytes of {header:?} were written");
}

/// A checksum is finished as the model does, and nothing else of the frame changes.
fn finish(offload: &impl Offload, checksum: Checksum, frame: &[u8]) {
    let mut finished = frame.to_vec();
    let is_done = offload.finish(checksum, &mut finished);
    let expected = model::finish(frame, (checksum.start, checksum.offset));
    assert!(
        is_done && finished == expected,
        "checksum: {checksum:?} of a frame of {} bytes is not finished as the model does",
        frame.len()
    );
}

fn receive(offload: &impl Offload, port: &Port, frame: &[u8], about: &Receive) -> Result<(), Id> {
    let expected = model::receive(&model_port(port), frame, &model_about(about));
    let got = offload.receive(port, frame, about);
    if draw::number(frame).is_multiple_of(WATCH_ONE_IN) {
        let _ =
            without_allocating("a frame for the driver", || offload.receive(port, frame, about));
    }
    match (got, expected) {
        (Ok(header), Ok(expected)) => {
            written(offload, port, &header, &expected);
            Ok(())
        }
        (Err(error), Err(id)) => {
            assert!(
                super::id(error.rule()) == id,
                "model: the code refuses by {error}, the model by {id:?}, {port:?}"
            );
            Err(id)
        }
        (Ok(header), Err(id)) => {
            panic!("model: the code says {header:?}, the model refuses it by {id:?}, {about:?}")
        }
        (Err(error), Ok(_)) => {
            panic!("model: the code refuses by {error} what the model accepts, {about:?}")
        }
    }
}

/// The bytes of a header for the driver are those of the model; stale ones are seen.
fn written(offload: &impl Offload, port: &Port, header: &Header, expected: &[u8]) {
    let mut out = [0xa5; HEADER_LEN_MAX];
    let len = offload.encode(header, port.features, &mut out);
    assert!(
        len == Ok(expected.len()) && out[..expected.len()] == *expected,
        "model: {header:?} is written as {out:x?}, {len:?}, not as {expected:x?}"
    );
}

/// Whatever was negotiated and came before, a plain frame is taken and given.
fn alive(offload: &impl Offload, port: &Port) {
    let bytes = [0; HEADER_LEN_MAX + 60];
    let bytes = &bytes[..model_port(port).header_len() + 60];
    let sent = offload.transmit(port, bytes, 0);
    let is_whole = sent.is_ok_and(|sent| sent.frame.len() == 60 && sent.segments.is_none());
    assert!(is_whole, "liveness: a plain frame to send is {sent:?}, {port:?}");
    let given = offload.receive(port, &bytes[..60], &Receive::default());
    assert!(given.is_ok(), "liveness: a plain frame for the driver is {given:?}, {port:?}");
}
