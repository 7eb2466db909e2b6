//! Decoding and encoding of one message.

use std::hint::black_box;

use vhost_fuzz_core::vhost_user::{Message, Payload};

use crate::samples::{self, Sample};

/// What of a decoded message is read. Fixed payloads are values once they are decoded; of those
/// that borrow the message, the parts are read too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// The message, which is written to memory.
    Value,
    /// The message and every region of its memory table, each written to memory.
    Regions,
    /// The message and its 256 shared memory sizes, which are added up.
    Sizes,
}

/// Decodes the sample `times` times.
pub fn decode(sample: &Sample, reads: Reads, times: u64) {
    match reads {
        Reads::Value => decode_loop(sample, times, |_| ()),
        Reads::Regions => decode_loop(sample, times, |payload| {
            if let Payload::MemTable(table) = payload {
                for region in table.regions() {
                    black_box(&region);
                }
            }
        }),
        Reads::Sizes => decode_loop(sample, times, |payload| {
            if let Payload::ShmemConfig(config) = payload {
                black_box(
                    (0..=255).fold(0, |sum: u64, shmid| sum.wrapping_add(config.size(shmid))),
                );
            }
        }),
    }
}

#[inline(never)]
fn decode_loop(sample: &Sample, times: u64, read: impl Fn(&Payload<'_>)) {
    let (kind, layout) = black_box((sample.kind, sample.layout));
    for _ in 0..times {
        let Sample { fds, bytes, .. } = black_box(sample);
        // By reference: the message is where `decode` wrote it, and is not copied for the box.
        let result = &Message::decode(kind, layout, bytes, *fds);
        if let Ok(message) = black_box(result) {
            read(&message.payload);
        }
    }
}

/// Encodes the sample `times` times into a buffer of its length.
///
/// # Panics
/// When the sample cannot be decoded; [`check`] says why.
pub fn encode(sample: &Sample, times: u64) {
    let message = Message::decode(sample.kind, sample.layout, &sample.bytes, sample.fds)
        .expect("the sample was checked");
    encode_loop(&message, &mut [0; samples::LONGEST][..sample.bytes.len()], times);
}

#[inline(never)]
fn encode_loop(message: &Message<'_>, out: &mut [u8], times: u64) {
    for _ in 0..times {
        black_box(&black_box(message).encode(black_box(out)));
    }
}

/// Asserts that the sample decodes to its value and that the value encodes to the sample.
///
/// # Panics
/// When it does not.
pub fn check(sample: &Sample, name: &str) {
    let decoded = Message::decode(sample.kind, sample.layout, &sample.bytes, sample.fds);
    assert_eq!(decoded, Ok(sample.message()), "{name}: the decoded message");
    match sample.message().payload {
        Payload::MemTable(table) => {
            let regions: Vec<_> = table.regions().collect();
            let expected: Vec<_> = (0..table.count().into()).map(samples::region).collect();
            assert_eq!(regions, expected, "{name}: the regions");
        }
        Payload::ShmemConfig(config) => {
            let sizes: Vec<_> = (0..=255).map(|shmid| config.size(shmid)).collect();
            assert_eq!(sizes, samples::SHMEM_SIZES, "{name}: the sizes");
        }
        _ => {}
    }
    let mut out = vec![0xa5; sample.bytes.len()];
    let written = sample.message().encode(&mut out);
    assert_eq!(written, Ok(sample.bytes.len()), "{name}: the encoded length");
    assert_eq!(out, sample.bytes, "{name}: the encoded bytes");
}
