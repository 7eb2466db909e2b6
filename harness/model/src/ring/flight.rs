//! What was taken and not given back yet: a list, oldest first.

use std::collections::VecDeque;

use super::{PutRefusal, Setup, Token};

/// The list.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    epoch: u64,
    sequence: u64,
    in_order: bool,
    list: VecDeque<Token>,
    /// Sequence numbers of what earlier lives took.
    inherited: Vec<u64>,
}

impl Flight {
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            epoch: setup.epoch,
            sequence: 0,
            in_order: setup.in_order,
            list: VecDeque::with_capacity(16),
            inherited: Vec::new(),
        }
    }

    pub(super) fn list(&self) -> impl ExactSizeIterator<Item = &Token> {
        self.list.iter()
    }

    pub(super) fn add(&mut self, id: u16, slots: u16, writable: u64) -> Token {
        let token = Token {
            id,
            slots,
            writable: u32::try_from(writable).unwrap_or(u32::MAX),
            sequence: self.sequence,
            epoch: self.epoch,
        };
        self.sequence += 1;
        self.list.push_back(token);
        token
    }

    /// The same, of a chain that an earlier life took.
    pub(super) fn inherit(&mut self, id: u16, slots: u16, writable: u64) -> Token {
        let token = self.add(id, slots, writable);
        self.inherited.push(token.sequence);
        token
    }

    fn place(&self, token: &Token) -> Result<usize, PutRefusal> {
        for (index, known) in self.list.iter().enumerate() {
            if known == token {
                return Ok(index);
            }
        }
        Err(PutRefusal::Stale)
    }

    /// Gives one back.
    pub(super) fn remove(&mut self, token: &Token, len: u32) -> Result<(), PutRefusal> {
        let index = self.place(token)?;
        fits(token, len)?;
        if self.in_order && index != 0 {
            return Err(PutRefusal::OutOfOrder);
        }
        self.list.remove(index);
        Ok(())
    }

    /// Forgets that one was taken (DC-089).
    pub(super) fn undo(&mut self, token: &Token) -> Result<(), PutRefusal> {
        let index = self.place(token)?;
        let is_last = token.sequence + 1 == self.sequence;
        if !is_last || self.inherited.contains(&token.sequence) {
            return Err(PutRefusal::NotNewest);
        }
        self.list.remove(index);
        self.sequence = token.sequence;
        Ok(())
    }

    /// Gives the oldest ones back at once (VQ-058, VQ-059). `len` is of the last.
    pub(super) fn remove_batch(&mut self, tokens: &[Token], len: u32) -> Result<(), PutRefusal> {
        if !self.in_order {
            return Err(PutRefusal::NoBatch);
        }
        for (index, token) in tokens.iter().enumerate() {
            let is_next = self.list.get(index) == Some(token);
            if !is_next {
                self.place(token)?;
            }
            let is_last = index + 1 == tokens.len();
            if is_last {
                fits(token, len)?;
            }
            if !is_next {
                return Err(PutRefusal::OutOfOrder);
            }
            if !is_last && token.writable > 0 {
                return Err(PutRefusal::LengthNotImplied { index });
            }
        }
        self.list.drain(..tokens.len());
        Ok(())
    }
}

/// VQ-039.
fn fits(token: &Token, len: u32) -> Result<(), PutRefusal> {
    let writable = token.writable;
    if len > writable { Err(PutRefusal::TooLong { len, writable }) } else { Ok(()) }
}
