//! Judges a codec on one message.

use std::cell::Cell;
use std::fmt::Write as _;

use vhost_fuzz_core::vhost_user::{Message, Payload};
use vhost_fuzz_model::vhost_user::message::{self as model, Meaning};
use vhost_fuzz_model::vhost_user::number;
use vhost_fuzz_model::vhost_user::table::Field;
use vhost_fuzz_model::{Id, Verdict};

use crate::codec::Codec;
use crate::context::Context;
use crate::draw;
use crate::fields::{self, Value};

/// Bytes from which on a field is compared as a whole instead of word by word. Such fields are
/// the last of their payload.
const LONG: usize = 16;

/// One message in so many is printed: printing is the slowest of the oracles.
const PRINT_ONE_IN: u64 = 256;

/// One message in so many is decoded again with the allocator watched: whether a path allocates
/// depends on little besides the path.
const WATCH_ONE_IN: u64 = 16;

/// Runs every oracle on one message. Returns the verdict that code and model share.
///
/// # Errors
/// The requirement that the message breaks, in the model's words.
///
/// # Panics
/// When an oracle finds a fault.
pub fn check(codec: &impl Codec, context: Context, bytes: &[u8]) -> Result<(), Id> {
    let expected = model::judge(context.model(), bytes, context.fds);
    let decoded = codec.decode(context.kind, context.layout, bytes, context.fds);
    let drawn = draw::number(bytes);
    if drawn.is_multiple_of(WATCH_ONE_IN) {
        budget(codec, context, bytes);
    }
    // By reference: a message and its meaning are large enough to show when they are moved.
    match (&decoded, &expected) {
        (Ok(message), Verdict::Accept(meaning)) => {
            wire_check(message, meaning, bytes);
            round_trip(codec, message, bytes);
            if drawn.is_multiple_of(PRINT_ONE_IN) {
                display(message);
            }
            Ok(())
        }
        (Err(error), &Verdict::Reject(id)) => {
            let rule = super::id(error.rule());
            assert!(
                rule == id,
                "model: the code refuses by {rule:?} ({error}), the model by {id:?}, {context:?}"
            );
            Err(id)
        }
        (Ok(message), Verdict::Reject(id)) => {
            panic!(
                "model: the code accepts `{message}`, the model refuses it by {id:?}, {context:?}"
            )
        }
        (Err(error), Verdict::Accept(_)) => {
            panic!("model: the code refuses by {error:?} what the model accepts, {context:?}")
        }
    }
}

/// Decodes with the allocator watched: decoding has no budget for memory at all.
fn budget(codec: &impl Codec, context: Context, bytes: &[u8]) {
    let info = allocation_counter::measure(|| {
        let decoded = codec.decode(context.kind, context.layout, bytes, context.fds);
        let _ = std::hint::black_box(decoded);
    });
    assert!(
        info.count_total == 0,
        "budget: decoding {} bytes allocated {} times, {} bytes",
        bytes.len(),
        info.count_total,
        info.bytes_total
    );
}

/// Compares the fields of the decoded message with what the model reads at their offsets.
fn wire_check(message: &Message<'_>, meaning: &Meaning, bytes: &[u8]) {
    let mut got = Digest::default();
    got.number(message.code.into());
    got.number(message.flags.0.into());
    let body = &bytes[12..];
    let mut is_same = true;
    fields::visit(message, |_, value| match value {
        Value::Number(value) => got.number(value),
        Value::Bytes(long) if long.len() >= LONG => {
            is_same &= body.ends_with(long);
            got.bytes(long);
        }
        Value::Bytes(short) => got.bytes(short),
    });

    let mut expected = Digest::default();
    expected.number(number(bytes, 0, 4));
    expected.number(number(bytes, 4, 4));
    let mut rest = expected.fields(meaning.fields, body);
    for _ in 0..meaning.regions {
        rest = expected.fields(meaning.region, rest);
    }
    if has_rest(message) {
        expected.bytes(rest);
    }
    if !is_same || got != expected {
        explain(message, meaning, bytes);
    }
}

/// Whether the payload has bytes after its fields that the message keeps as they are.
fn has_rest(message: &Message<'_>) -> bool {
    matches!(message.payload, Payload::Config(_) | Payload::Unknown(_))
}

fn on_wire<'a>(body: &'a [u8], field: &Field, base: usize) -> Value<'a> {
    let offset = base + field.offset;
    if field.is_number {
        Value::Number(number(body, offset, field.width))
    } else {
        Value::Bytes(&body[offset..offset + field.width])
    }
}

/// All values of a message in their order, as one number: an instrumented target pays a callback
/// for each comparison, so two of these are compared instead of every field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Digest(u64);

impl Digest {
    #[inline]
    fn number(&mut self, value: u64) {
        self.0 = draw::mix(self.0, value);
    }

    /// Takes the values of fields that lie one after another at the front of `bytes`; returns
    /// what follows them.
    fn fields<'a>(&mut self, fields: &[Field], mut bytes: &'a [u8]) -> &'a [u8] {
        for field in fields {
            let (front, rest) = bytes.split_at(field.width);
            match (field.is_number, front) {
                (true, &[a, b, c, d, e, f, g, h]) => {
                    self.number(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
                }
                (true, &[a, b, c, d]) => self.number(u32::from_ne_bytes([a, b, c, d]).into()),
                (true, _) => self.number(number(front, 0, field.width)),
                (false, _) => self.bytes(front),
            }
            bytes = rest;
        }
        bytes
    }

    /// Takes bytes; of long ones only their number.
    fn bytes(&mut self, bytes: &[u8]) {
        if bytes.len() >= LONG {
            return self.number(bytes.len() as u64);
        }
        let (words, tail) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.number(u64::from_le_bytes(*word)));
        tail.iter().for_each(|byte| self.number((*byte).into()));
    }
}

/// Finds the field that differs, and panics with it.
#[cold]
fn explain(message: &Message<'_>, meaning: &Meaning, bytes: &[u8]) -> ! {
    let header = [u64::from(message.code), u64::from(message.flags.0)];
    assert!(
        header == [number(bytes, 0, 4), number(bytes, 4, 4)],
        "wire check: code and flags are {header:x?}"
    );
    let body = &bytes[12..];
    let mut expected = Expected::new(meaning);
    fields::visit(message, |name, value| {
        if name == "rest" {
            assert!(
                value == Value::Bytes(&body[meaning.rest..]),
                "wire check: what follows the fields is {value:x?}"
            );
            return;
        }
        let Some((field, base)) = expected.next() else {
            panic!("wire check: `{message}` has a field {name} too many")
        };
        let wire = on_wire(body, field, base);
        assert!(
            name == field.name && value == wire,
            "wire check: field {name} is {value:x?}, at offset {} there is {} = {wire:x?}",
            base + field.offset,
            field.name
        );
    });
    if let Some((field, _)) = expected.next() {
        panic!("wire check: `{message}` lacks the field {}", field.name);
    }
    panic!("wire check: `{message}` differs from the model, but no field does");
}

/// The fields that the model expects, each with the offset that its own counts from.
struct Expected<'a> {
    meaning: &'a Meaning,
    fields: std::slice::Iter<'static, Field>,
    base: usize,
    left: usize,
}

impl<'a> Expected<'a> {
    fn new(meaning: &'a Meaning) -> Self {
        Self { meaning, fields: meaning.fields.iter(), base: 0, left: meaning.regions }
    }
}

impl Iterator for Expected<'_> {
    type Item = (&'static Field, usize);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(field) = self.fields.next() {
            return Some((field, self.base));
        }
        self.left = self.left.checked_sub(1)?;
        let len = |fields: &[Field]| fields.last().map_or(0, |field| field.offset + field.width);
        let done = self.meaning.regions - 1 - self.left;
        self.base = len(self.meaning.fields) + done * len(self.meaning.region);
        self.fields = self.meaning.region.iter();
        self.fields.next().map(|field| (field, self.base))
    }
}

/// Accepted bytes encode to themselves, and the length is known before.
fn round_trip(codec: &impl Codec, message: &Message<'_>, bytes: &[u8]) {
    thread_local! {
        // On the heap: AddressSanitizer poisons arrays on the stack anew in every call.
        static OUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    let mut buffer = OUT.take();
    if buffer.len() < bytes.len() {
        buffer.resize(bytes.len(), 0);
    }
    let out = &mut buffer[..bytes.len()];
    // Stale bytes show what an encoder leaves out.
    out.fill(0xa5);
    let written = codec.encode(message, out);
    assert!(written == Ok(bytes.len()), "round trip: {} bytes encode as {written:?}", bytes.len());
    if out != bytes {
        let at = out.iter().zip(bytes).position(|(new, old)| new != old).unwrap_or(0);
        panic!("round trip: byte {at} of `{message}` is {:#x}, not {:#x}", out[at], bytes[at]);
    }
    OUT.set(buffer);
}

/// Every message prints as something.
fn display(message: &Message<'_>) {
    let mut sink = Discard { chars: 0 };
    let _ = write!(sink, "{message}");
    assert!(sink.chars > 0, "display: message {} prints nothing", message.code);
}

struct Discard {
    chars: usize,
}

impl std::fmt::Write for Discard {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.chars += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds;

    #[test]
    fn about_as_many_messages_are_watched_as_announced() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut drawn = 0;
        let mut count = 0;
        for _ in 0..100 {
            for (kind, row) in vhost_fuzz_core::vhost_user::request::forms() {
                for form in seeds::forms_of(kind, row, &mut seeds::Random(&mut rng)) {
                    drawn += u64::from(draw::number(&form.bytes).is_multiple_of(WATCH_ONE_IN));
                    count += 1;
                }
            }
        }
        let expected = count / WATCH_ONE_IN;
        assert!((expected / 2..expected * 2).contains(&drawn), "{drawn} of {count}");
    }
}
