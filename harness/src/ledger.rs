//! Counts descriptors: every one that goes into the code under test is delivered once or closed
//! once.

use std::cell::RefCell;
use std::rc::Rc;

/// What became of the descriptors of one input.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    closed: Rc<RefCell<Vec<u32>>>,
}

/// Stands for an open descriptor; dropping it closes it.
#[derive(Debug)]
pub struct Token {
    number: u32,
    ledger: Ledger,
}

impl Ledger {
    /// Opens a descriptor.
    #[must_use]
    pub fn open(&self) -> Token {
        let mut closed = self.closed.borrow_mut();
        let number = u32::try_from(closed.len()).unwrap_or(u32::MAX);
        closed.push(0);
        Token { number, ledger: self.clone() }
    }

    /// Every descriptor that was opened has been closed exactly once.
    ///
    /// # Panics
    /// When one was not, or was twice.
    pub fn settle(&self) {
        self.settle_as("fd ledger: descriptor");
    }

    /// The same of something else that is opened and closed.
    ///
    /// # Panics
    /// When one was not, or was twice; the message begins with this name.
    pub fn settle_as(&self, name: &str) {
        for (number, closed) in self.closed.borrow().iter().enumerate() {
            match closed {
                1 => {}
                0 => panic!("{name} {number} was never closed"),
                times => panic!("{name} {number} was closed {times} times"),
            }
        }
    }

    /// Forgets what was opened and closed, to begin with number 0 again.
    pub fn clear(&self) {
        self.closed.borrow_mut().clear();
    }

    /// How many descriptors are open.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.closed.borrow().iter().filter(|closed| **closed == 0).count()
    }
}

impl Token {
    /// The number of the descriptor, in the order of opening.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Another descriptor for the same thing, as `dup` makes one.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        self.ledger.open()
    }

    /// A second owner of the same descriptor, which is what broken code makes.
    #[must_use]
    pub fn alias(&self) -> Self {
        Self { number: self.number, ledger: self.ledger.clone() }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let mut closed = self.ledger.closed.borrow_mut();
        if let Some(times) = closed.get_mut(self.number as usize) {
            *times += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_that_is_closed_once_settles() {
        let ledger = Ledger::default();
        let token = ledger.open();
        assert_eq!((token.number(), ledger.open_count()), (0, 1));
        drop(token);
        assert_eq!(ledger.open_count(), 0);
        ledger.settle();
    }

    #[test]
    #[should_panic(expected = "fd ledger: descriptor 1 was never closed")]
    fn a_descriptor_that_is_forgotten_does_not() {
        let ledger = Ledger::default();
        drop(ledger.open());
        std::mem::forget(ledger.open());
        ledger.settle();
    }

    #[test]
    #[should_panic(expected = "fd ledger: descriptor 0 was closed 2 times")]
    fn a_descriptor_with_two_owners_does_not() {
        let ledger = Ledger::default();
        let token = ledger.open();
        drop(token.alias());
        drop(token);
        ledger.settle();
    }
}
