//! A queue without a ring: what goes in, what comes out, and in which order.
//!
//! The driver offers requests. The device takes them in the order of the offers and completes
//! them in an order of its own, unless that is to be the same. The driver hears of every
//! completion once, with its length and the bytes that were written. Split or packed, chained or
//! indirect, with or without events: a ring has to end in the same two lists.

use std::ops::Range;

/// A completion that no device may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// Nothing was taken that has this number, or it was completed before (VQ-040).
    NotInFlight,
    /// More bytes than the request has room for (VQ-039).
    TooLong,
    /// An older request is in flight, and the order is to be kept (VQ-056).
    OutOfOrder,
}

/// What the driver hears of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// Number of the request: requests are counted from 0 in the order of the offers.
    pub request: usize,
    /// Bytes that the device wrote.
    pub bytes: &'a [u8],
}

impl Delivery<'_> {
    /// The length that the driver is told.
    ///
    /// # Panics
    /// It is above `u32::MAX`, which no test can write.
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::try_from(self.bytes.len()).expect("a used length")
    }

    /// Nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[derive(Clone, Debug)]
struct Request {
    readable: Range<usize>,
    capacity: u64,
    is_complete: bool,
}

#[derive(Clone, Debug)]
struct Completion {
    request: usize,
    bytes: Range<usize>,
}

/// All that has happened to a queue.
#[derive(Clone, Debug, Default)]
pub struct History {
    in_order: bool,
    requests: Vec<Request>,
    /// Requests that the device has taken: always the first ones.
    taken: usize,
    completions: Vec<Completion>,
    /// Completions that the driver can see: always the first ones.
    published: usize,
    /// Bytes of requests and completions.
    bytes: Vec<u8>,
}

impl History {
    /// A fresh queue. `in_order`: completions come in the order of the requests.
    #[must_use]
    pub fn new(in_order: bool) -> Self {
        Self { in_order, ..Self::default() }
    }

    /// Forgets everything but the room.
    pub fn clear(&mut self, in_order: bool) {
        self.in_order = in_order;
        self.requests.clear();
        self.taken = 0;
        self.completions.clear();
        self.published = 0;
        self.bytes.clear();
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// The driver offers a request with room for `capacity` bytes. Its number.
    pub fn offer(&mut self, readable: &[u8], capacity: u64) -> usize {
        let readable = self.keep(readable);
        self.requests.push(Request { readable, capacity, is_complete: false });
        self.requests.len() - 1
    }

    /// The device takes the next request, if there is one. Its number.
    pub fn take(&mut self) -> Option<usize> {
        if self.taken == self.requests.len() {
            return None;
        }
        self.taken += 1;
        Some(self.taken - 1)
    }

    /// The device completes a request with these bytes.
    ///
    /// # Errors
    /// It may not, and nothing has happened.
    pub fn complete(&mut self, request: usize, bytes: &[u8]) -> Result<(), Mistake> {
        if request >= self.taken || self.requests[request].is_complete {
            return Err(Mistake::NotInFlight);
        }
        if bytes.len() as u64 > self.requests[request].capacity {
            return Err(Mistake::TooLong);
        }
        if self.in_order && self.requests[..request].iter().any(|older| !older.is_complete) {
            return Err(Mistake::OutOfOrder);
        }
        let bytes = self.keep(bytes);
        self.requests[request].is_complete = true;
        self.completions.push(Completion { request, bytes });
        Ok(())
    }

    /// The device shows its completions to the driver. Whether there is a new one.
    pub fn publish(&mut self) -> bool {
        let is_new = self.published < self.completions.len();
        self.published = self.completions.len();
        is_new
    }

    /// What the device was given: readable bytes and capacity of all that it took, in order.
    pub fn received(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.requests[..self.taken]
            .iter()
            .map(|request| (&self.bytes[request.readable.clone()], request.capacity))
    }

    /// What the driver has heard, in order.
    pub fn deliveries(&self) -> impl Iterator<Item = Delivery<'_>> {
        self.completions[..self.published].iter().map(|completion| Delivery {
            request: completion.request,
            bytes: &self.bytes[completion.bytes.clone()],
        })
    }

    /// Requests that the device has not taken.
    #[must_use]
    pub fn waiting(&self) -> Range<usize> {
        self.taken..self.requests.len()
    }

    /// Requests that the device took and did not complete, oldest first.
    pub fn outstanding(&self) -> impl Iterator<Item = usize> {
        (0..self.taken).filter(|request| !self.requests[*request].is_complete)
    }

    /// Requests that are complete without the driver's knowledge, in the order of completion.
    pub fn unpublished(&self) -> impl Iterator<Item = usize> {
        self.completions[self.published..].iter().map(|completion| completion.request)
    }

    /// Every request was taken and completed, and the driver knows.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.published == self.requests.len()
    }
}
