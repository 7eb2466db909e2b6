//! The table of shared objects: which back-end exports which UUID (spec §6.14).

use core::fmt;

use crate::rule::Rule;

/// The exporters of a machine. All its front-ends share one table. Its memory is allocated once,
/// in [`new`](Self::new).
#[derive(Debug)]
pub struct SharedObjects {
    /// UUIDs as on the wire (VU-230), with their owners.
    entries: Vec<([u8; 16], u32)>,
    limit: usize,
}

impl SharedObjects {
    /// A table for at most `limit` objects.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { entries: Vec::with_capacity(limit), limit }
    }

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The back-end that exports an object.
    #[must_use]
    pub fn owner(&self, uuid: &[u8; 16]) -> Option<u32> {
        self.entries.iter().find(|(other, _)| other == uuid).map(|(_, owner)| *owner)
    }

    /// Adds an object.
    ///
    /// # Errors
    /// Somebody exports it already, or the table is full (DC-064).
    pub fn add(&mut self, owner: u32, uuid: [u8; 16]) -> Result<(), ObjectError> {
        if let Some(other) = self.owner(&uuid) {
            return Err(ObjectError::Exists { owner: other });
        }
        if self.entries.len() >= self.limit {
            return Err(ObjectError::Full { limit: self.limit });
        }
        self.entries.push((uuid, owner));
        Ok(())
    }

    /// Removes an object of its owner.
    ///
    /// # Errors
    /// There is no such object, or another back-end owns it: nothing changes (VU-231).
    pub fn remove(&mut self, owner: u32, uuid: &[u8; 16]) -> Result<(), ObjectError> {
        match self.entries.iter().position(|(other, _)| other == uuid) {
            None => Err(ObjectError::Unknown),
            Some(at) => match self.entries.get(at) {
                Some(&(_, other)) if other != owner => Err(ObjectError::NotOwner { owner: other }),
                _ => {
                    self.entries.remove(at);
                    Ok(())
                }
            },
        }
    }

    /// Removes all objects of a back-end that is gone (DC-064).
    pub fn forget(&mut self, owner: u32) {
        self.entries.retain(|(_, other)| *other != owner);
    }
}

/// A change of the table that is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectError {
    /// The object is exported already.
    Exists {
        /// By this back-end.
        owner: u32,
    },
    /// There is no room.
    Full {
        /// Most objects.
        limit: usize,
    },
    /// Nobody exports the object.
    Unknown,
    /// Another back-end exports the object.
    NotOwner {
        /// The one that does.
        owner: u32,
    },
}

impl ObjectError {
    /// The requirement behind the refusal.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Exists { .. } | Self::Full { .. } => Rule::dc(64),
            Self::Unknown | Self::NotOwner { .. } => Rule::vu(231),
        }
    }
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists { owner } => write!(f, "back-end {owner} exports the object already"),
            Self::Full { limit } => write!(f, "{limit} shared objects exist already"),
            Self::Unknown => f.write_str("nobody exports the object"),
            Self::NotOwner { owner } => write!(f, "back-end {owner} exports the object"),
        }
    }
}

impl core::error::Error for ObjectError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_removes() {
        let mut objects = SharedObjects::new(2);
        assert_eq!(objects.add(1, [7; 16]), Ok(()));
        assert_eq!(objects.add(2, [7; 16]), Err(ObjectError::Exists { owner: 1 }));
        assert_eq!(objects.remove(2, &[7; 16]), Err(ObjectError::NotOwner { owner: 1 }));
        assert_eq!(objects.remove(2, &[8; 16]), Err(ObjectError::Unknown));
        assert_eq!((objects.owner(&[7; 16]), objects.len()), (Some(1), 1));
        assert_eq!(objects.add(2, [8; 16]), Ok(()));
        assert_eq!(objects.add(2, [9; 16]), Err(ObjectError::Full { limit: 2 }));
        assert_eq!(objects.remove(1, &[7; 16]), Ok(()));
        objects.forget(2);
        assert!(objects.is_empty());
    }
}
