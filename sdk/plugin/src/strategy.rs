//! Strategies: what is true of one kind, said on its typed form, and the lens that lays that form over the document.

use std::any::Any;

use sdk_api::k8s_openapi::Metadata;
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sdk_api::{Object, Status, Timestamp, Typed, Violations};
use serde::Deserialize;
use serde_json::Value;

/// How long an object may take to go. Source: graceful deletion of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    /// Deleted at once.
    None,
    /// Marked as deleting; somebody else removes it within this many seconds.
    Seconds(i64),
}

/// What is special about a kind. Every method has the common behaviour as its default.
pub trait Strategy: Send + Sync + 'static {
    type Object: Typed + PartialEq + Metadata<Ty = ObjectMeta>;

    /// Fills in what the user left out. Runs on every write; must give the same result when run again.
    fn default(&self, _object: &mut Self::Object) {}
    /// Before a creation is validated: sets or clears what users may not choose (`status`, for instance, is cleared for
    /// kinds with a status subresource before this runs).
    fn prepare_create(&self, _new: &mut Self::Object, _now: Timestamp) {}
    /// Before an update is validated.
    fn prepare_update(&self, _new: &mut Self::Object, _old: &Self::Object, _now: Timestamp) {}
    /// What is wrong with the object; `old` is the stored state on an update.
    fn validate(&self, _new: &Self::Object, _old: Option<&Self::Object>) -> Violations {
        Violations::default()
    }
    /// What is wrong with a new status, written through the subresource.
    fn validate_status(&self, _new: &Self::Object, _old: &Self::Object) -> Violations {
        Violations::default()
    }
    /// What is wrong with a change of another part, written through the subresource of this name, such as `scale`.
    fn validate_part(&self, _part: &str, new: &Self::Object, old: &Self::Object) -> Violations {
        self.validate(new, Some(old))
    }
    /// What is legal and still worth telling the user.
    fn warnings(&self, _new: &Self::Object) -> Vec<String> {
        Vec::new()
    }
    /// How long a deletion may take; `asked` is what the request says.
    fn grace(&self, _object: &Self::Object, _asked: Option<i64>) -> Grace {
        Grace::None
    }
    /// Marks the object when its deletion starts and it stays for a while (a namespace becomes Terminating).
    fn begin_deletion(&self, _object: &mut Self::Object) {}
    /// Whether something besides finalizers and grace keeps a deleting object (a namespace's `spec.finalizers`).
    fn is_held(&self, _object: &Self::Object) -> bool {
        false
    }
}

/// A strategy as the registry sees it: on documents.
pub trait DynStrategy: Send + Sync + 'static {
    /// Brings a body into the kind's form: refuses what is malformed, removes fields that the kind does not know, and tells
    /// of them in the words of a warning (`unknown field "spec.colour"`). `None` leaves this to the kind's schema.
    fn decode(&self, _object: &mut Value) -> Option<Result<Vec<String>, Status>> {
        None
    }
    /// What a stored document reads as today, where that differs from what is stored: rules may have changed since.
    fn refresh(&self, _stored: &Object) -> Option<Value> {
        None
    }
    /// Whether [`refresh`](Self::refresh) may ever differ from what is stored: such kinds have no index of their fields.
    fn refreshes(&self) -> bool {
        false
    }
    fn default(&self, object: &mut Value) -> Result<(), Status>;
    fn prepare_create(&self, new: &mut Value, now: Timestamp) -> Result<(), Status>;
    fn prepare_update(&self, new: &mut Value, old: &Value, now: Timestamp) -> Result<(), Status>;
    fn validate(&self, new: &Value, old: Option<&Value>) -> Result<Violations, Status>;
    fn validate_status(&self, new: &Value, old: &Value) -> Result<Violations, Status>;
    fn validate_part(&self, _part: &str, new: &Value, old: &Value) -> Result<Violations, Status> {
        self.validate(new, Some(old))
    }
    fn warnings(&self, new: &Value) -> Vec<String>;
    fn grace(&self, object: &Value, asked: Option<i64>) -> Grace;
    fn begin_deletion(&self, object: &mut Value) -> Result<(), Status>;
    fn is_held(&self, object: &Value) -> bool;

    /// [`default`](Self::default) as a step of a write.
    fn default_in(&self, object: &mut Value, _laid: &mut Laid) -> Result<(), Status> {
        self.default(object)
    }
    /// [`prepare_create`](Self::prepare_create) as a step of a write.
    fn prepare_create_in(&self, new: &mut Value, now: Timestamp, _laid: &mut Laid) -> Result<(), Status> {
        self.prepare_create(new, now)
    }
    /// [`prepare_update`](Self::prepare_update) as a step of a write.
    fn prepare_update_in(&self, new: &mut Value, old: &Value, now: Timestamp, _laid: &mut Laid) -> Result<(), Status> {
        self.prepare_update(new, old, now)
    }
    /// [`validate`](Self::validate) as a step of a write.
    fn validate_in(&self, new: &Value, old: Option<&Value>, _laid: &mut Laid) -> Result<Violations, Status> {
        self.validate(new, old)
    }
    /// [`warnings`](Self::warnings) as a step of a write.
    fn warnings_in(&self, new: &Value, _laid: &mut Laid) -> Vec<String> {
        self.warnings(new)
    }
}

/// The typed forms of the documents of one write, kept from step to step so that each is laid once.
///
/// Who changes the new document between two steps says so: [`metadata_changed`](Self::metadata_changed) if it was
/// nothing but the metadata, [`changed`](Self::changed) for anything else.
#[derive(Default)]
pub struct Laid {
    new: Option<Box<dyn Any + Send + Sync>>,
    old: Option<Box<dyn Any + Send + Sync>>,
    metadata_is_stale: bool,
}

impl Laid {
    /// Somebody else changed the new document.
    pub fn changed(&mut self) {
        self.new = None;
    }

    /// Somebody else changed the new document's metadata.
    pub fn metadata_changed(&mut self) {
        self.metadata_is_stale = true;
    }

    /// The typed form of the new document as it stands.
    fn view_of<T: Typed + Metadata<Ty = ObjectMeta>>(&mut self, document: &Value) -> Result<&mut T, Status> {
        let known = self.new.take().and_then(|known| known.downcast::<T>().ok());
        let typed = match known {
            Some(mut typed) if self.metadata_is_stale => {
                *typed.metadata_mut() = ObjectMeta::deserialize(&document["metadata"]).map_err(misfit::<T>)?;
                typed
            }
            Some(typed) => typed,
            None => Box::new(view(document)?),
        };
        self.metadata_is_stale = false;
        Ok(self.new.insert(typed).downcast_mut().expect("it has just been put there"))
    }

    /// The typed form of the stored document, which does not change during a write.
    fn old<T: Typed>(&mut self, document: &Value) -> Result<&T, Status> {
        if !self.old.as_ref().is_some_and(|known| known.is::<T>()) {
            self.old = Some(Box::new(view::<T>(document)?));
        }
        Ok(self.old.as_ref().and_then(|known| known.downcast_ref()).expect("it is there, or was just put there"))
    }

    /// Both.
    fn both<T: Typed + Metadata<Ty = ObjectMeta>>(&mut self, new: &Value, old: &Value) -> Result<(&mut T, &T), Status> {
        self.view_of::<T>(new)?;
        self.old::<T>(old)?;
        let new = self.new.as_mut().and_then(|known| known.downcast_mut()).expect("laid above");
        let old = self.old.as_ref().and_then(|known| known.downcast_ref()).expect("laid above");
        Ok((new, old))
    }
}

/// Lays the typed form over a document. Only what the strategy changed is written back; every other field, known to
/// the type or not, stays as it came.
pub struct Lens<S>(pub S);

fn view<T: Typed>(object: &Value) -> Result<T, Status> {
    T::deserialize(object).map_err(misfit::<T>)
}

fn misfit<T: Typed>(error: serde_json::Error) -> Status {
    Status::bad_request(format!("{} in version {:?} cannot be handled as a {}: {error}", T::KIND, T::VERSION, T::KIND))
}

fn change<T: Typed + PartialEq>(object: &mut Value, change: impl FnOnce(&mut T)) -> Result<(), Status> {
    change_typed(object, &mut view(object)?, change)
}

/// Changes a document and the typed form that lies over it.
fn change_typed<T: Typed + PartialEq>(
    object: &mut Value,
    typed: &mut T,
    change: impl FnOnce(&mut T),
) -> Result<(), Status> {
    let before = typed.clone();
    change(typed);
    if before != *typed {
        let encode = |typed: &T| serde_json::to_value(typed).map_err(|e| Status::internal(e.to_string()));
        write_back(object, &encode(&before)?, encode(typed)?);
    }
    Ok(())
}

/// Carries the difference between `before` and `after` into `document`.
fn write_back(document: &mut Value, before: &Value, after: Value) {
    match (document, before, after) {
        (Value::Object(fields), Value::Object(before), Value::Object(after)) => {
            for name in before.keys().filter(|name| !after.contains_key(*name)) {
                fields.remove(name);
            }
            for (name, value) in after {
                match (before.get(&name), fields.get_mut(&name)) {
                    (Some(same), _) if *same == value => {}
                    (Some(old), Some(field)) => write_back(field, old, value),
                    _ => drop(fields.insert(name, value)),
                }
            }
        }
        (Value::Array(items), Value::Array(before), Value::Array(after))
            if items.len() == before.len() && before.len() == after.len() =>
        {
            for ((item, old), new) in items.iter_mut().zip(before).zip(after) {
                if *old != new {
                    write_back(item, old, new);
                }
            }
        }
        (document, _, after) => *document = after,
    }
}

impl<S: Strategy> DynStrategy for Lens<S> {
    fn default(&self, object: &mut Value) -> Result<(), Status> {
        change(object, |typed| self.0.default(typed))
    }

    fn prepare_create(&self, new: &mut Value, now: Timestamp) -> Result<(), Status> {
        change(new, |typed| self.0.prepare_create(typed, now))
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, now: Timestamp) -> Result<(), Status> {
        let old = view(old)?;
        change(new, |typed| self.0.prepare_update(typed, &old, now))
    }

    fn validate(&self, new: &Value, old: Option<&Value>) -> Result<Violations, Status> {
        let old = old.map(view).transpose()?;
        Ok(self.0.validate(&view(new)?, old.as_ref()))
    }

    fn validate_status(&self, new: &Value, old: &Value) -> Result<Violations, Status> {
        Ok(self.0.validate_status(&view(new)?, &view(old)?))
    }

    fn validate_part(&self, part: &str, new: &Value, old: &Value) -> Result<Violations, Status> {
        Ok(self.0.validate_part(part, &view(new)?, &view(old)?))
    }

    fn warnings(&self, new: &Value) -> Vec<String> {
        view(new).map(|typed| self.0.warnings(&typed)).unwrap_or_default()
    }

    fn grace(&self, object: &Value, asked: Option<i64>) -> Grace {
        view(object).map_or(Grace::None, |typed| self.0.grace(&typed, asked))
    }

    fn begin_deletion(&self, object: &mut Value) -> Result<(), Status> {
        change(object, |typed| self.0.begin_deletion(typed))
    }

    fn is_held(&self, object: &Value) -> bool {
        view(object).is_ok_and(|typed| self.0.is_held(&typed))
    }

    fn default_in(&self, object: &mut Value, laid: &mut Laid) -> Result<(), Status> {
        let typed = laid.view_of(object)?;
        change_typed(object, typed, |typed| self.0.default(typed))
    }

    fn prepare_create_in(&self, new: &mut Value, now: Timestamp, laid: &mut Laid) -> Result<(), Status> {
        let typed = laid.view_of(new)?;
        change_typed(new, typed, |typed| self.0.prepare_create(typed, now))
    }

    fn prepare_update_in(&self, new: &mut Value, old: &Value, now: Timestamp, laid: &mut Laid) -> Result<(), Status> {
        let (typed, old) = laid.both(new, old)?;
        change_typed(new, typed, |typed| self.0.prepare_update(typed, old, now))
    }

    fn validate_in(&self, new: &Value, old: Option<&Value>, laid: &mut Laid) -> Result<Violations, Status> {
        match old {
            None => Ok(self.0.validate(laid.view_of(new)?, None)),
            Some(old) => {
                let (new, old) = laid.both(new, old)?;
                Ok(self.0.validate(new, Some(old)))
            }
        }
    }

    fn warnings_in(&self, new: &Value, laid: &mut Laid) -> Vec<String> {
        laid.view_of(new).map(|typed| self.0.warnings(typed)).unwrap_or_default()
    }
}

/// The strategy of kinds about which nothing is special.
pub struct NoStrategy;

impl DynStrategy for NoStrategy {
    fn default(&self, _object: &mut Value) -> Result<(), Status> {
        Ok(())
    }

    fn prepare_create(&self, _new: &mut Value, _now: Timestamp) -> Result<(), Status> {
        Ok(())
    }

    fn prepare_update(&self, _new: &mut Value, _old: &Value, _now: Timestamp) -> Result<(), Status> {
        Ok(())
    }

    fn validate(&self, _new: &Value, _old: Option<&Value>) -> Result<Violations, Status> {
        Ok(Violations::default())
    }

    fn validate_status(&self, _new: &Value, _old: &Value) -> Result<Violations, Status> {
        Ok(Violations::default())
    }

    fn warnings(&self, _new: &Value) -> Vec<String> {
        Vec::new()
    }

    fn grace(&self, _object: &Value, _asked: Option<i64>) -> Grace {
        Grace::None
    }

    fn begin_deletion(&self, _object: &mut Value) -> Result<(), Status> {
        Ok(())
    }

    fn is_held(&self, _object: &Value) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use sdk_api::k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;

    struct SetHost;
    impl Strategy for SetHost {
        type Object = Pod;
        fn default(&self, pod: &mut Pod) {
            pod.spec.get_or_insert_default().hostname = Some("h".into());
        }
    }

    #[test]
    fn the_lens_writes_back_only_what_changed() {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "future": 1}], "later": {"x": [1]}}});
        let mut expected = pod.clone();
        expected["spec"]["hostname"] = json!("h");
        Lens(SetHost).default(&mut pod).unwrap();
        assert_eq!(pod, expected);
    }

    /// Steps of a write see what the steps before and the registry between them did, and change what they would alone.
    #[test]
    fn the_steps_of_a_write_share_what_was_laid() {
        struct Careful;
        impl Strategy for Careful {
            type Object = Pod;
            fn default(&self, pod: &mut Pod) {
                pod.spec.get_or_insert_default().hostname.get_or_insert_with(|| "h".into());
            }
            fn prepare_create(&self, pod: &mut Pod, _now: Timestamp) {
                let spec = pod.spec.get_or_insert_default();
                spec.subdomain =
                    Some(format!("{}-{}", spec.hostname.clone().unwrap(), pod.metadata.uid.clone().unwrap()));
            }
            fn validate(&self, new: &Pod, old: Option<&Pod>) -> Violations {
                let mut found = Violations::default();
                let name = |pod: &Pod| pod.metadata.name.clone().unwrap_or_default();
                let host = new.spec.as_ref().and_then(|spec| spec.hostname.clone()).unwrap_or_default();
                found.invalid("seen", format!("{} {host} {}", name(new), old.map(name).unwrap_or_default()), "");
                found
            }
        }
        let (lens, mut laid) = (Lens(Careful), Laid::default());
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "future": 1}]}});
        lens.default_in(&mut pod, &mut laid).unwrap();
        pod["metadata"]["uid"] = json!("u");
        laid.metadata_changed();
        lens.prepare_create_in(&mut pod, Timestamp::UNIX_EPOCH, &mut laid).unwrap();
        assert_eq!(
            pod["spec"],
            json!({"containers": [{"name": "c", "future": 1}], "hostname": "h", "subdomain": "h-u"})
        );
        pod["spec"]["hostname"] = json!("other");
        laid.changed();
        let old = json!({"metadata": {"name": "q"}});
        assert_eq!(
            lens.validate_in(&pod, Some(&old), &mut laid).unwrap(),
            lens.validate(&pod, Some(&old)).unwrap(),
            "what is laid anew is the same"
        );
        let seen = lens.validate_in(&pod, Some(&old), &mut laid).unwrap();
        assert!(format!("{seen:?}").contains("p other q"), "{seen:?}");
    }
}
