//! What a call is made of, inside the plugin.

use crate::instance::{Instance, Shared, parse};
use crate::operations::Nothing;
use crate::{Call, Error, Plugin};
use chassis_abi::ChassisCall;
use serde::de::DeserializeOwned;

/// The part of an instance that does not depend on the plugin's type.
#[derive(Clone, Copy)]
pub struct At(pub(super) *const Shared);

// SAFETY: Shared is Sync.
unsafe impl Send for At {}

impl At {
    pub(super) fn shared(&self) -> &Shared {
        // SAFETY: an instance outlives its calls.
        unsafe { &*self.0 }
    }
}

/// What a call is made of, inside the plugin. Lives in the call's future.
pub struct Env<P: Plugin> {
    pub(super) instance: *const Instance<P>,
    pub(super) call: *const ChassisCall,
}

// SAFETY: both pointers are to what any thread may read: the instance is Sync, the call unchanging.
unsafe impl<P: Plugin> Send for Env<P> {}
// SAFETY: as above.
unsafe impl<P: Plugin> Sync for Env<P> {}

impl<P: Plugin> Env<P> {
    /// Where the call runs.
    pub fn at(&self) -> At {
        // SAFETY: an instance outlives its calls.
        At(unsafe { &raw const (*self.instance).shared })
    }

    /// The plugin.
    pub fn plugin(&self) -> &P {
        // SAFETY: as in `at`.
        unsafe { &(*self.instance).plugin }
    }

    /// The call's context.
    pub fn call(&self) -> Call<'_> {
        // SAFETY: the call's memory stays until its future and stream, and so this value, are gone.
        Call::new(unsafe { &*self.call })
    }

    /// The call's input.
    ///
    /// # Errors
    /// `invalid_argument`, with the field.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, Error> {
        parse(self.object()?, "the input is refused")
    }

    /// The call has no input.
    ///
    /// # Errors
    /// `invalid_argument`: it has one.
    pub fn no_input(&self) -> Result<(), Error> {
        match self.object()? {
            b"{}" => Ok(()),
            json => parse::<Nothing>(json, "the operation takes no input").map(drop),
        }
    }

    /// The input's text. A struct could be read from an array too, by the order of its fields: that is nobody's schema.
    fn object(&self) -> Result<&[u8], Error> {
        let json = self.call().json();
        match json.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => Ok(json),
            _ => Err(Error::new(
                chassis_abi::Code::InvalidArgument,
                "the input is refused: it is no JSON object",
            )),
        }
    }
}
