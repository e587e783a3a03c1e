//! The two macros: `contract!` declares operations, `export!` makes a library of a plugin.

/// Declares a set of operations: a trait with one async method each, and `register`, which adds them to a plugin.
///
/// `unary` operations answer `Result<Output, Error>`; `raw` ones `Result<(Output, Vec<u8>), Error>`, the bytes being the raw
/// attachment; `bytes` ones (declared as `(()) -> ()`) have no JSON at all, take [`crate::Call::raw`] and answer
/// `Result<Vec<u8>, Error>`; `stream` ones send any number of items by an [`crate::Items`] and end by returning; `upload` ones take items by
/// an [`crate::Upload`]. Attributes in braces: `effect` (`Read` or `Write`), `idempotent`, `keyed`, `batched_by`, `raw_input`, and
/// for telemetry `target`, `query_text`, `operation_type`: see [`chassis_abi::manifest::Operation`] and
/// [`chassis_abi::manifest::Telemetry`].
///
/// ```
/// use chassis_guest::contracts::cache::{Deleted, Key};
///
/// chassis_guest::contract! {
///     /// Operations of this plugin's own.
///     pub trait Own = own, kind = Database {
///         /// Forgets a key at leisure.
///         unary unlink(Key) -> Deleted { effect: Write, idempotent: true }
///     }
/// }
/// ```
#[macro_export]
macro_rules! contract {
    (
        $(#[doc = $trait_doc:literal])+
        pub trait $Trait:ident = $name:tt, kind = $kind:ident {
            $(
                $(#[doc = $doc:literal])+
                $shape:ident $op:ident($Input:ty) -> $Output:ty { $($flag:ident : $value:expr),* $(,)? }
            )+
        }
    ) => {
        $(#[doc = $trait_doc])+
        pub trait $Trait: $crate::Plugin {
            $($crate::__method!($shape $op($Input) -> $Output; $(#[doc = $doc])+);)+
        }

        /// Adds the operations to a plugin, in the order they are declared in.
        pub fn register<P: $Trait>(operations: &mut $crate::Operations<P>) {
            #[allow(unused_imports)]
            use $crate::Effect::{Read, Write};
            $({
                let mut spec = $crate::manifest::Spec::new(
                    $crate::__contract_name!($name),
                    $crate::TelemetryKind::$kind,
                    stringify!($op),
                    concat!($($doc),+),
                );
                $(spec.$flag = ($value).into();)*
                $crate::__register!(operations, spec, P, $Trait, $shape $op($Input) -> $Output);
            })+
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __contract_name {
    (own) => {
        None
    };
    ($name:literal) => {
        Some($name)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __method {
    (unary $op:ident($Input:ty) -> $Output:ty; $(#[doc = $doc:literal])+) => {
        $(#[doc = $doc])+
        fn $op(
            &self,
            call: $crate::Call<'_>,
            input: $Input,
        ) -> impl ::std::future::Future<Output = Result<$Output, $crate::Error>> + Send;
    };
    (raw $op:ident($Input:ty) -> $Output:ty; $(#[doc = $doc:literal])+) => {
        $(#[doc = $doc])+
        fn $op(
            &self,
            call: $crate::Call<'_>,
            input: $Input,
        ) -> impl ::std::future::Future<Output = Result<($Output, Vec<u8>), $crate::Error>> + Send;
    };
    (bytes $op:ident($Input:ty) -> $Output:ty; $(#[doc = $doc:literal])+) => {
        $(#[doc = $doc])+
        fn $op(
            &self,
            call: $crate::Call<'_>,
        ) -> impl ::std::future::Future<Output = Result<Vec<u8>, $crate::Error>> + Send;
    };
    (stream $op:ident($Input:ty) -> $Output:ty; $(#[doc = $doc:literal])+) => {
        $(#[doc = $doc])+
        fn $op(
            &self,
            call: $crate::Call<'_>,
            input: $Input,
            items: $crate::Items<$Output>,
        ) -> impl ::std::future::Future<Output = Result<(), $crate::Error>> + Send;
    };
    (upload $op:ident($Input:ty) -> $Output:ty; $(#[doc = $doc:literal])+) => {
        $(#[doc = $doc])+
        fn $op(
            &self,
            call: $crate::Call<'_>,
            input: $Input,
            upload: $crate::Upload,
        ) -> impl ::std::future::Future<Output = Result<$Output, $crate::Error>> + Send;
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __register {
    ($operations:ident, $spec:ident, $P:ident, $Trait:ident, unary $op:ident($Input:ty) -> $Output:ty) => {
        $operations.__add($spec.typed::<$Input, $Output>(), |env, _| {
            let at = env.at();
            $crate::__private::begin_unary(at, async move {
                <$P as $Trait>::$op(env.plugin(), env.call(), env.input::<$Input>()?).await
            })
        });
    };
    ($operations:ident, $spec:ident, $P:ident, $Trait:ident, raw $op:ident($Input:ty) -> $Output:ty) => {
        $spec.raw_output = true;
        $operations.__add($spec.typed::<$Input, $Output>(), |env, _| {
            let at = env.at();
            $crate::__private::begin_raw(at, async move {
                <$P as $Trait>::$op(env.plugin(), env.call(), env.input::<$Input>()?).await
            })
        });
    };
    ($operations:ident, $spec:ident, $P:ident, $Trait:ident, bytes $op:ident($Input:ty) -> $Output:ty) => {
        $spec.raw_input = true;
        $spec.raw_output = true;
        $operations.__add($spec, |env, _| {
            let at = env.at();
            $crate::__private::begin_bytes(at, async move {
                env.no_input()?;
                <$P as $Trait>::$op(env.plugin(), env.call()).await
            })
        });
    };
    ($operations:ident, $spec:ident, $P:ident, $Trait:ident, stream $op:ident($Input:ty) -> $Item:ty) => {
        $operations.__add($spec.streaming::<$Input, $Item>(), |env, _| {
            let (at, input) = (env.at(), env.input::<$Input>());
            $crate::__private::begin_stream(at, input, move |input, items| async move {
                <$P as $Trait>::$op(env.plugin(), env.call(), input, items).await
            })
        });
    };
    ($operations:ident, $spec:ident, $P:ident, $Trait:ident, upload $op:ident($Input:ty) -> $Output:ty) => {
        $spec.upload = true;
        $operations.__add($spec.typed::<$Input, $Output>(), |env, upload| {
            let at = env.at();
            $crate::__private::begin_unary(at, async move {
                <$P as $Trait>::$op(env.plugin(), env.call(), env.input::<$Input>()?, upload).await
            })
        });
    };
}

/// Makes a library of a plugin: exports the one symbol and embeds `manifest.json`, which stands beside the crate's `Cargo.toml`.
/// Also defines `manifest()`, which makes that file's content anew, so that a test sees when it is stale.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        const __MANIFEST: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/manifest.json"));

        #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__chassis"))]
        #[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".chassis"))]
        static __SECTION: $crate::__private::ManifestSection<{ __MANIFEST.len() }> =
            $crate::__private::section(__MANIFEST);

        /// The table that a host opens this library by.
        #[allow(non_upper_case_globals)]
        #[unsafe(no_mangle)]
        pub static chassis_plugin: $crate::__private::ChassisPlugin =
            $crate::__private::table::<$plugin, { __MANIFEST.len() }>(&__SECTION);

        /// What `manifest.json` must hold.
        pub fn manifest() -> String {
            $crate::manifest::generate::<$plugin>(
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/plugin.toml")),
                env!("CARGO_PKG_VERSION"),
            )
        }
    };
}
