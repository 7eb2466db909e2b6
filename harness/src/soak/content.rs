//! What is in a chain: everything follows from its number.

/// Longest request. It begins with the number of the chain.
pub(super) const REQUEST_MAX: usize = 71;
/// Most bytes that an answer has room for.
pub(super) const ANSWER_MAX: usize = 64;

/// The shape of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    key: u64,
    number: u64,
    /// Bytes of the request, 8 to 71.
    pub(super) request: u8,
    /// Bytes for the answer, 1 to 64.
    pub(super) capacity: u8,
    /// Bytes of the answer, 0 to its capacity.
    pub(super) answer: u8,
    /// Where the request is cut into two buffers; 0 is not at all.
    pub(super) request_cut: u8,
    /// Where the room for the answer is cut into two buffers; 0 is not at all.
    pub(super) answer_cut: u8,
    /// Whether the chain is a table, where that was negotiated.
    pub(super) is_table: bool,
}

impl Shape {
    /// The shape of a chain of a run.
    pub(super) fn of(seed: u64, number: u64) -> Self {
        let key = mix(seed ^ number);
        let [a, b, c, d, e, .., last] = key.to_le_bytes();
        let request = 8 + a % 64;
        let capacity = 1 + b % 64;
        Self {
            key,
            number,
            request,
            capacity,
            answer: c % (capacity + 1),
            request_cut: d % request,
            answer_cut: e % capacity,
            is_table: last & 1 != 0,
        }
    }

    /// The number of the chain.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// Writes the request to the beginning of a buffer, and gives it.
    pub(super) fn write_request<'b>(&self, buffer: &'b mut [u8; REQUEST_MAX]) -> &'b [u8] {
        let bytes = &mut buffer[..self.request.into()];
        let (head, rest) = bytes.split_at_mut(8);
        head.copy_from_slice(&self.number.to_le_bytes());
        fill(rest, self.key);
        bytes
    }

    /// Writes the answer to the beginning of a buffer, and gives it.
    pub(super) fn write_answer<'b>(&self, buffer: &'b mut [u8; ANSWER_MAX]) -> &'b [u8] {
        let bytes = &mut buffer[..self.answer.into()];
        fill(bytes, !self.key);
        bytes
    }
}

/// Bytes that no other key has.
fn fill(bytes: &mut [u8], key: u64) {
    let mut word = key;
    for chunk in bytes.chunks_mut(8) {
        word = mix(word);
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
}

/// Mixes the bits of a number, one to one.
const fn mix(number: u64) -> u64 {
    let a = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let b = (a ^ (a >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let c = (b ^ (b >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    c ^ (c >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_within_their_bounds_and_reach_them() {
        let shapes: Vec<Shape> = (0..20_000).map(|number| Shape::of(7, number)).collect();
        for shape in &shapes {
            assert!((8..=REQUEST_MAX).contains(&shape.request.into()), "{shape:?}");
            assert!((1..=ANSWER_MAX).contains(&shape.capacity.into()), "{shape:?}");
            assert!(shape.answer <= shape.capacity, "{shape:?}");
            assert!(shape.request_cut < shape.request, "{shape:?}");
            assert!(shape.answer_cut < shape.capacity, "{shape:?}");
        }
        assert!(shapes.iter().any(|shape| usize::from(shape.request) == REQUEST_MAX));
        assert!(shapes.iter().any(|shape| usize::from(shape.answer) == ANSWER_MAX));
        assert!(shapes.iter().any(|shape| shape.answer == 0));
        assert!(shapes.iter().any(|shape| shape.request_cut == 0 && shape.is_table));
    }

    #[test]
    fn content_tells_numbers_and_runs_apart() {
        let answer = |seed, number| {
            let shape = Shape { answer: 8, ..Shape::of(seed, number) };
            let mut buffer = [0; ANSWER_MAX];
            shape.write_answer(&mut buffer).to_vec()
        };
        assert_eq!(answer(1, 2), answer(1, 2));
        assert_ne!(answer(1, 2), answer(1, 3));
        assert_ne!(answer(1, 2), answer(4, 2));
    }
}
