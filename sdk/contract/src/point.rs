//! `extension_point!`: what every extension point has, made from its list of methods.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Blobs, CallMeta, Fault, FaultCode, Frame, PointOffer, Reply};

/// What is known of a point without its types: enough to negotiate, to route and to name it in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    pub number: u16,
    pub name: &'static str,
    /// The oldest and newest version that this build speaks.
    pub versions: (u16, u16),
    /// Number, name and whether the method may be called again after a crash.
    pub methods: &'static [(u16, &'static str, bool)],
}

impl Point {
    /// Bit N is method N.
    pub fn bitmap(&self) -> u64 {
        self.methods.iter().fold(0, |bits, (number, ..)| bits | 1 << number)
    }

    pub fn method_name(&self, number: u16) -> Option<&'static str> {
        self.methods.iter().find(|(known, ..)| *known == number).map(|(_, name, _)| *name)
    }

    /// By its name in a descriptor.
    pub fn method_number(&self, name: &str) -> Option<u16> {
        self.methods.iter().find(|(_, known, _)| *known == name).map(|(number, ..)| *number)
    }

    pub fn is_idempotent(&self, number: u16) -> bool {
        self.methods.iter().any(|(known, _, idempotent)| *known == number && *idempotent)
    }

    /// What a plugin that implements these methods of the point writes into its descriptor.
    pub fn offer(&self, methods: u64) -> PointOffer {
        let methods = methods & self.bitmap();
        PointOffer { point: self.name.into(), versions: self.versions, methods, features: Vec::new() }
    }

    /// The newest version that both speak.
    pub fn negotiate(&self, offered: (u16, u16)) -> Option<u16> {
        let newest = self.versions.1.min(offered.1);
        (newest >= self.versions.0.max(offered.0)).then_some(newest)
    }
}

/// A head as bytes.
pub fn encode<H: Serialize>(head: &H) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(head).map_err(|error| Fault::new(FaultCode::Invalid, format!("cannot encode the head: {error}")))
}

/// A head out of bytes; unknown fields are ignored, since a newer side may send them.
pub fn decode<H: DeserializeOwned>(head: &[u8]) -> Result<H, Fault> {
    serde_json::from_slice(head)
        .map_err(|error| Fault::new(FaultCode::Invalid, format!("cannot decode the head: {error}")))
}

/// A reply of a head and blobs.
pub fn reply<H: Serialize>((head, blobs): (H, Blobs)) -> Result<Reply, Fault> {
    Ok(Reply { head: encode(&head)?.into(), blobs })
}

/// Whether a frame is for a point, in a version of it that is spoken here.
pub fn accept(point: &Point, frame: &Frame<'_>) -> Result<(), Fault> {
    if frame.method.point() != point.number {
        let message = format!("method {:#x} is not of the point {}", frame.method.0, point.name);
        return Err(Fault::new(FaultCode::Unimplemented, message));
    }
    let (oldest, newest) = point.versions;
    let version = frame.meta.point_version;
    if version < oldest || version > newest {
        let message = format!("{} is called in version {version}, spoken are {oldest} to {newest}", point.name);
        return Err(Fault::new(FaultCode::Incompatible, message));
    }
    Ok(())
}

/// The fault of a method that is not offered.
pub fn unimplemented(point: &Point, method: u16) -> Fault {
    let name = point.method_name(method).map_or_else(|| method.to_string(), str::to_owned);
    Fault::new(FaultCode::Unimplemented, format!("{}.{name} is not implemented", point.name))
}

type Closure<H, R> = dyn Fn(&CallMeta, H, &[Bytes]) -> Result<(R, Blobs), Fault> + Send + Sync;

/// One method of a fake: what it answers, and how often it was asked.
pub struct FakeMethod<H, R> {
    closure: Mutex<Option<std::sync::Arc<Closure<H, R>>>>,
    calls: AtomicU64,
}

impl<H, R> Default for FakeMethod<H, R> {
    fn default() -> Self {
        Self { closure: Mutex::new(None), calls: AtomicU64::new(0) }
    }
}

impl<H, R> FakeMethod<H, R> {
    /// From now on this answers. Until then the method is not implemented.
    pub fn answers(
        &self,
        closure: impl Fn(&CallMeta, H, &[Bytes]) -> Result<(R, Blobs), Fault> + Send + Sync + 'static,
    ) {
        *self.closure.lock().expect("no panic under this lock") = Some(std::sync::Arc::new(closure));
    }

    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Asks the closure.
    pub fn call(&self, meta: &CallMeta, head: H, blobs: &[Bytes]) -> Option<Result<(R, Blobs), Fault>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let closure = self.closure.lock().expect("no panic under this lock").clone();
        closure.map(|closure| closure(meta, head, blobs))
    }

    pub fn is_answered(&self) -> bool {
        self.closure.lock().expect("no panic under this lock").is_some()
    }
}

/// A golden vector: one call and its answer, as any language can replay them. Blobs are text here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Vector {
    /// What the vector shows.
    pub name: String,
    pub method: String,
    pub head: Value,
    #[serde(default)]
    pub blobs: Vec<String>,
    /// Bytes of blobs that are no text, in hexadecimal; used instead of `blobs`.
    #[serde(default)]
    pub blobs_hex: Vec<String>,
    pub reply: Value,
    #[serde(default)]
    pub reply_blobs: Vec<String>,
    #[serde(default)]
    pub reply_blobs_hex: Vec<String>,
}

impl Vector {
    /// The vectors of a file.
    ///
    /// # Panics
    /// Where the file, which is part of the program, is damaged.
    pub fn all(file: &str) -> Vec<Self> {
        serde_json::from_str(file).expect("a test reads every file of vectors")
    }

    pub fn blobs(&self) -> Blobs {
        blobs(&self.blobs, &self.blobs_hex)
    }

    pub fn reply(&self) -> Reply {
        let head = Bytes::from(self.reply.to_string().into_bytes());
        Reply { head, blobs: blobs(&self.reply_blobs, &self.reply_blobs_hex) }
    }
}

fn blobs(text: &[String], hex: &[String]) -> Blobs {
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    };
    let bytes = |hex: &String| hex.as_bytes().chunks(2).filter_map(byte).collect::<Vec<u8>>();
    let text = text.iter().map(|text| Bytes::from(text.clone().into_bytes()));
    text.chain(hex.iter().map(|hex| Bytes::from(bytes(hex)))).collect()
}

/// Makes an extension point of its list of methods.
///
/// ```ignore
/// extension_point! {
///     /// What the trait is.
///     pub trait Admission: 3, "admission", versions 1..=1, vectors "../../vectors/admission.json" {
///         /// What the method does.
///         1 idempotent mutate(Review) -> Verdict;
///     }
/// }
/// ```
/// Every method has the form `(head, blobs) -> (head, blobs)`; `idempotent` methods may be called again after a crash, `once`
/// methods may not. Numbers are 1 to 63 and never reused. Made are, in the module where it stands:
/// `POINT`; `method`, the ids; the trait, which a plugin implements; `dispatch`, which serves a frame by it; `Proxy`, which
/// makes frames of calls; `Fake`, whose methods are closures; `vectors()`.
#[macro_export]
macro_rules! extension_point {
    (@idempotent) => { true };
    (@once) => { false };
    (
        $(#[$doc:meta])*
        pub trait $trait:ident: $number:literal, $name:literal, versions $old:literal..=$new:literal, vectors $vectors:literal {
            $( $(#[$method_doc:meta])* $id:literal $mode:ident $method:ident($head:ty) -> $reply:ty; )+
        }
    ) => {
        /// The point, without its types.
        pub const POINT: $crate::point::Point = $crate::point::Point {
            number: $number,
            name: $name,
            versions: ($old, $new),
            methods: &[$(($id, stringify!($method), $crate::extension_point!(@$mode))),+],
        };

        /// The ids of the methods.
        #[allow(non_upper_case_globals)]
        pub mod method {
            use $crate::MethodId;
            $( $(#[$method_doc])* pub const $method: MethodId = MethodId::new($number, $id); )+
        }

        $(#[$doc])*
        pub trait $trait: Send + Sync {
            /// Bit N is method N; what is not here is never called.
            fn methods(&self) -> u64 {
                POINT.bitmap()
            }
            $(
                $(#[$method_doc])*
                fn $method(
                    &self,
                    _call: &$crate::CallMeta,
                    _head: $head,
                    _blobs: &[$crate::Bytes],
                ) -> Result<($reply, $crate::Blobs), $crate::Fault> {
                    Err($crate::point::unimplemented(&POINT, $id))
                }
            )+
        }

        /// Serves one frame by a plugin: the plugin's side of the boundary.
        pub fn dispatch<P: $trait + ?Sized>(
            plugin: &P,
            frame: $crate::Frame<'_>,
        ) -> Result<$crate::Reply, $crate::Fault> {
            $crate::point::accept(&POINT, &frame)?;
            let number = frame.method.method();
            if number > 63 || plugin.methods() >> number & 1 == 0 {
                return Err($crate::point::unimplemented(&POINT, number));
            }
            match number {
                $(
                    $id => {
                        let head = $crate::point::decode(frame.head)?;
                        $crate::point::reply(plugin.$method(frame.meta, head, frame.blobs)?)
                    }
                )+
                _ => Err($crate::point::unimplemented(&POINT, number)),
            }
        }

        /// Calls a plugin: the kernel's side of the boundary. Knows nothing of the transport.
        #[derive(Clone)]
        pub struct Proxy(pub std::sync::Arc<dyn $crate::Transport>);

        impl Proxy {
            $(
                $(#[$method_doc])*
                pub async fn $method(
                    &self,
                    call: &$crate::CallMeta,
                    head: &$head,
                    blobs: &[$crate::Bytes],
                ) -> Result<($reply, $crate::Blobs), $crate::Fault> {
                    let head = $crate::point::encode(head)?;
                    let frame = $crate::Frame { method: method::$method, meta: call, head: &head, blobs };
                    let $crate::Reply { head, blobs } = self.0.call(frame).wait().await?;
                    Ok(($crate::point::decode(&head)?, blobs))
                }
            )+
        }

        /// For tests: every method is a closure, or not implemented.
        #[derive(Default)]
        pub struct Fake {
            $( $(#[$method_doc])* pub $method: $crate::point::FakeMethod<$head, $reply>, )+
        }

        impl $trait for Fake {
            fn methods(&self) -> u64 {
                0 $( | u64::from(self.$method.is_answered()) << $id )+
            }
            $(
                fn $method(
                    &self,
                    call: &$crate::CallMeta,
                    head: $head,
                    blobs: &[$crate::Bytes],
                ) -> Result<($reply, $crate::Blobs), $crate::Fault> {
                    let answer = self.$method.call(call, head, blobs);
                    answer.unwrap_or_else(|| Err($crate::point::unimplemented(&POINT, $id)))
                }
            )+
        }

        /// Golden calls and answers of every method, for plugins and hosts in any language.
        pub fn vectors() -> Vec<$crate::point::Vector> {
            $crate::point::Vector::all(include_str!($vectors))
        }

        #[cfg(test)]
        mod generated {
            use super::*;

            /// Each vector's heads are what the types write, and a call of it passes proxy, frame and dispatcher unchanged.
            #[test]
            fn vectors_cross_unchanged() {
                let mut shown = 0;
                for vector in vectors() {
                    let meta = $crate::CallMeta { point_version: $new, ..Default::default() };
                    let fake = std::sync::Arc::new(Fake::default());
                    let expected = vector.reply();
                    match vector.method.as_str() {
                        $(
                            stringify!($method) => {
                                shown |= 1_u64 << $id;
                                let (answer, blobs) = (vector.reply.clone(), expected.blobs.clone());
                                fake.$method.answers(move |_, _, given| {
                                    let reply = serde_json::from_value(answer.clone()).expect("the answer of a vector");
                                    Ok((reply, if blobs.is_empty() { given[..0].into() } else { blobs.clone() }))
                                });
                                let head: $head = serde_json::from_value(vector.head.clone())
                                    .unwrap_or_else(|e| panic!("{}: {e}", vector.name));
                                assert_eq!(serde_json::to_value(&head).unwrap(), vector.head, "{}", vector.name);
                                let served = fake.clone();
                                let way = $crate::local::Local::new(move |frame: $crate::Frame<'_>| dispatch(&*served, frame));
                                let proxy = Proxy(std::sync::Arc::new(way));
                                let given = vector.blobs();
                                let call = proxy.$method(&meta, &head, &given);
                                let answered = futures::FutureExt::now_or_never(call);
                                let (reply, blobs) = answered.expect("local calls do not wait").expect("it answers");
                                assert_eq!(serde_json::to_value(&reply).unwrap(), vector.reply, "{}", vector.name);
                                assert_eq!(blobs, expected.blobs, "{}", vector.name);
                                assert_eq!(fake.$method.calls(), 1);
                            }
                        )+
                        other => panic!("{}: no method {other}", vector.name),
                    }
                }
                assert_eq!(shown, POINT.bitmap(), "every method has a vector");
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use crate::MethodId;
    use crate::points::admission::{self, Admission, POINT};

    use super::*;

    #[test]
    fn the_newest_common_version_is_spoken() {
        let point = Point { versions: (2, 4), ..POINT };
        for (case, offered, spoken) in [
            ("older", (1, 1), None),
            ("touching below", (1, 2), Some(2)),
            ("the same", (2, 4), Some(4)),
            ("reaching above", (3, 9), Some(4)),
            ("newer", (5, 9), None),
        ] {
            assert_eq!(point.negotiate(offered), spoken, "{case}");
        }
    }

    struct Nothing;
    impl Admission for Nothing {
        fn methods(&self) -> u64 {
            1 << admission::method::validate.method()
        }
    }

    #[test]
    fn frames_that_are_not_for_it_are_refused_with_a_reason() {
        let served = CallMeta { point_version: 1, ..CallMeta::default() };
        let newer = CallMeta { point_version: 9, ..CallMeta::default() };
        let review = br#"{"operation": "CREATE"}"#;
        for (case, method, meta, head, code) in [
            ("another point", MethodId::new(9, 1), &served, &review[..], FaultCode::Unimplemented),
            ("a newer version", admission::method::validate, &newer, review, FaultCode::Incompatible),
            ("a method that is not offered", admission::method::mutate, &served, review, FaultCode::Unimplemented),
            ("a method of the future", MethodId::new(3, 40), &served, review, FaultCode::Unimplemented),
            ("a method beyond the bitmap", MethodId::new(3, 900), &served, review, FaultCode::Unimplemented),
            ("a head that is no JSON", admission::method::validate, &served, b"{", FaultCode::Invalid),
            ("offered, and not there", admission::method::validate, &served, review, FaultCode::Unimplemented),
        ] {
            let fault = admission::dispatch(&Nothing, Frame { method, meta, head, blobs: &[] }).unwrap_err();
            assert_eq!(fault.code, code, "{case}: {fault}");
        }
    }

    #[test]
    fn an_offer_names_known_methods_only() {
        let offer = POINT.offer(u64::MAX);
        assert_eq!((offer.methods, offer.point.as_str()), (0b110, "admission"));
        assert_eq!((POINT.method_name(2), POINT.method_number("validate")), (Some("validate"), Some(2)));
    }
}
