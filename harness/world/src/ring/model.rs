//! The model of a ring of either layout.

use vhost_fuzz_core::ring::Layout;
use vhost_fuzz_model::ring::{self as model, Chain, Form, Pop, PutRefusal, Refusal, Stop, Token};

use super::step::Start;
use super::world::{World, model_setup};

/// A running model.
#[derive(Debug)]
pub enum Model {
    /// Split.
    Split(model::Split),
    /// Packed.
    Packed(model::Packed),
}

/// Calls a method of whichever it is.
macro_rules! either {
    ($model:expr, $it:ident => $call:expr) => {
        match $model {
            Model::Split($it) => $call,
            Model::Packed($it) => $call,
        }
    };
}

impl Model {
    /// A model of the ring that a script starts.
    ///
    /// # Errors
    /// Why such a ring cannot start.
    pub fn activate(
        layout: Layout,
        start: &Start,
        world: &World,
        writes: &mut model::Writes,
    ) -> Result<Self, Refusal> {
        let setup = model_setup(start);
        let World { view, regions, .. } = world;
        match layout {
            Layout::Split => {
                let [low, high, ..] = start.base.to_le_bytes();
                let next = u16::from_le_bytes([low, high]);
                model::Split::activate(&setup, next, regions, view, writes).map(Self::Split)
            }
            Layout::Packed => {
                let (available, used) = model::Position::of_base(start.base);
                model::Packed::activate(&setup, [available, used], regions, writes)
                    .map(Self::Packed)
            }
        }
    }

    /// A wake-up begins.
    ///
    /// # Errors
    /// Which part of the ring is not in memory.
    pub fn bind(&mut self, world: &World) -> Result<(), Refusal> {
        either!(self, model => model.bind(&world.regions))
    }

    /// Takes a chain.
    pub fn pop(&mut self, world: &World, chain: &mut Chain) -> Pop {
        either!(self, model => model.pop(&world.view, &world.regions, chain))
    }

    /// Takes the taking of a chain back.
    ///
    /// # Errors
    /// Why it cannot be taken back.
    pub fn unpop(&mut self, token: Token) -> Result<(), PutRefusal> {
        either!(self, model => model.unpop(token))
    }

    /// Gives a buffer back.
    ///
    /// # Errors
    /// Why it cannot be given back.
    pub fn put(
        &mut self,
        token: Token,
        len: u32,
        writes: &mut model::Writes,
    ) -> Result<(), PutRefusal> {
        either!(self, model => model.put(token, len, writes))
    }

    /// Gives buffers back as a batch.
    ///
    /// # Errors
    /// Why they cannot be given back.
    pub fn put_batch(
        &mut self,
        tokens: &[Token],
        len: u32,
        writes: &mut model::Writes,
    ) -> Result<(), PutRefusal> {
        either!(self, model => model.put_batch(tokens, len, writes))
    }

    /// Shows the driver what was given back; whether it wants a call.
    ///
    /// # Errors
    /// Why the ring has stopped.
    pub fn publish(&mut self, world: &World, writes: &mut model::Writes) -> Result<bool, Stop> {
        either!(self, model => model.publish(&world.view, &world.regions, writes))
    }

    /// Asks for kicks; whether there is something to take already.
    ///
    /// # Errors
    /// Why the ring has stopped.
    pub fn arm(&mut self, world: &World, writes: &mut model::Writes) -> Result<bool, Stop> {
        either!(self, model => model.arm(&world.view, &world.regions, writes))
    }

    /// Asks for no kicks.
    pub fn disarm(&mut self, writes: &mut model::Writes) {
        either!(self, model => model.disarm(writes));
    }

    /// Why the ring has stopped, if it has.
    #[must_use]
    pub fn stopped(&self) -> Option<Stop> {
        either!(self, model => model.stopped())
    }

    /// The base that it goes on from.
    #[must_use]
    pub fn base(&self) -> u32 {
        match self {
            Self::Split(model) => model.next().into(),
            Self::Packed(model) => model::Position::base(model.next(), model.published()),
        }
    }
}

/// The form that the model calls a layout.
#[must_use]
pub const fn form(layout: Layout) -> Form {
    match layout {
        Layout::Split => Form::Split,
        Layout::Packed => Form::Packed,
    }
}
