//! The plugin's side of the C table. What makes it sound is the rules of [`chassis_abi`]: a call's memory stays until its future
//! and stream are gone, poll and drop are never concurrent, and an instance outlives its calls.

mod bytes;
mod env;
mod future;
mod host;
mod outcome;
mod stream;

pub(crate) use bytes::{bytes, discard, take_owned};
pub use env::{At, Env};
pub use future::{begin_bytes, begin_raw, begin_stream, begin_unary};
pub(crate) use host::HostTable;
pub(crate) use outcome::{failure, said, success};
pub(crate) use stream::{drop_stream_of_host, grant_stream_of_host, poll_stream_of_host};

use crate::instance::Instance;
use crate::{Error, Plugin, Upload};
use chassis_abi::call::OPERATION_PANIC;
use chassis_abi::manifest::{ManifestHeader, ManifestSection};
use chassis_abi::{
    ABI_MAJOR, ABI_MINOR, ChassisCall, ChassisFuture, ChassisHost, ChassisOutcome, ChassisPlugin, Code,
    HostBytes, PluginBytes,
};
use future::begin;
use outcome::{panicked, poisoned};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The manifest section of a plugin.
pub const fn section<const N: usize>(json: &[u8]) -> ManifestSection<N> {
    let mut copy = [0; N];
    copy.copy_from_slice(json);
    ManifestSection { header: ManifestHeader::new(N), json: copy }
}

/// The table of a plugin.
pub const fn table<P: Plugin, const N: usize>(section: &'static ManifestSection<N>) -> ChassisPlugin {
    ChassisPlugin {
        struct_size: size_of::<ChassisPlugin>() as u32,
        abi_major: ABI_MAJOR,
        abi_minor: ABI_MINOR,
        manifest: PluginBytes { ptr: (&raw const *section).cast(), len: size_of::<ManifestSection<N>>() },
        create: Some(create::<P>),
        call: Some(call::<P>),
        close: Some(close::<P>),
        destroy: Some(destroy::<P>),
    }
}

unsafe extern "C" fn create<P: Plugin>(
    host: *const ChassisHost,
    config: HostBytes,
    out: *mut ChassisOutcome,
) -> *mut c_void {
    install_panic_hook();
    let made = catch_unwind(AssertUnwindSafe(|| Instance::<P>::open(HostTable { host }, bytes(&config))));
    let error = match made {
        Ok(Ok(instance)) => return Box::into_raw(Box::new(instance)).cast(),
        Ok(Err(error)) => failure(error),
        Err(panic) => panicked(&*panic),
    };
    // SAFETY: `out` may be written.
    unsafe { out.write(error) };
    std::ptr::null_mut()
}

unsafe extern "C" fn call<P: Plugin>(instance: *mut c_void, call: *const ChassisCall) -> ChassisFuture {
    // SAFETY: the host calls with what `create` answered and not yet destroyed, and with a call that outlives the future.
    let (instance, call) = unsafe { (&*instance.cast::<Instance<P>>(), &*call) };
    // SAFETY: the upload is handed over with the call, once.
    let upload = unsafe { Upload::take(&raw const call.upload) };
    let env = Env { instance, call };
    let at = env.at();
    if instance.shared.poisoned() {
        return begin(at, std::future::ready(poisoned()));
    }
    if call.operation == OPERATION_PANIC {
        return begin(at, async { panic!("asked to, by the conformance suite") });
    }
    let Some(operation) = instance.begins.get(call.operation as usize) else {
        let error =
            Error::new(Code::Unimplemented, format!("there is no operation number {}", call.operation));
        return begin(at, std::future::ready(failure(error)));
    };
    // Making the future runs none of the author's code: the runtime is entered by its polls.
    catch_unwind(AssertUnwindSafe(|| operation(env, upload))).unwrap_or_else(|panic| {
        instance.shared.poison();
        begin(at, std::future::ready(panicked(&*panic)))
    })
}

unsafe extern "C" fn close<P: Plugin>(instance: *mut c_void) -> ChassisFuture {
    // SAFETY: as in `call`.
    let instance: &'static Instance<P> = unsafe { &*instance.cast::<Instance<P>>() };
    begin(At(&raw const instance.shared), async {
        instance.plugin.close().await;
        ChassisOutcome::EMPTY
    })
}

unsafe extern "C" fn destroy<P: Plugin>(instance: *mut c_void) {
    // SAFETY: the host gives back what `create` answered, after all of its futures and streams are gone.
    let instance = unsafe { Box::from_raw(instance.cast::<Instance<P>>()) };
    let runtime = instance.shared.runtime.clone();
    // A panic of a plugin's destructor was reported by the hook; there is nobody to tell.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let _runtime = runtime.enter();
        drop(instance);
    }));
}

/// Panics are answers, not noise: the message goes to the host with the call, so nothing is printed.
fn install_panic_hook() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));
}
