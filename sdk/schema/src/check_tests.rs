//! Tables for the check: what is refused, brought into form and pruned.

use serde_json::json;

use super::*;

fn schema(group: &str, version: &str, kind: &str) -> SchemaRef {
    Schemas::builtin().kind(&GroupVersionKind::new(group, version, kind)).unwrap()
}

#[test]
fn wrong_types_are_refused_in_gos_words() {
    let (deployment, pod) = (schema("apps", "v1", "Deployment"), schema("", "v1", "Pod"));
    let (map, secret, event) = (schema("", "v1", "ConfigMap"), schema("", "v1", "Secret"), schema("", "v1", "Event"));
    for (schema, document, words) in [
        (
            &deployment,
            json!({"spec": {"replicas": "3"}}),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            &deployment,
            json!({"spec": {"replicas": 1.5}}),
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            &deployment,
            json!({"spec": {"replicas": 2_147_483_648_i64}}),
            "json: cannot unmarshal number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            &deployment,
            json!({"spec": {"template": {"spec": {"containers": [{"image": 1}]}}}}),
            "json: cannot unmarshal number into Go struct field Container.spec.template.spec.containers.image of \
             type string",
        ),
        (
            &pod,
            json!({"spec": {"containers": {"name": "a"}}}),
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (&pod, json!({"spec": []}), "json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec"),
        (&pod, json!([]), "json: cannot unmarshal array into Go value of type v1.Pod"),
        (
            &pod,
            json!({"metadata": {"labels": {"a": 1}}}),
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            &pod,
            json!({"metadata": {"labels": "a"}}),
            "json: cannot unmarshal string into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        (
            &pod,
            json!({"metadata": {"creationTimestamp": 5}}),
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.creationTimestamp of type string",
        ),
        (
            &pod,
            json!({"spec": {"containers": [{"resources": {"limits": []}}]}}),
            "json: cannot unmarshal array into Go struct field ResourceRequirements.spec.containers.resources.limits \
             of type v1.ResourceList",
        ),
        (
            &pod,
            json!({"spec": {"containers": [{"resources": {"limits": {"cpu": "much"}}}]}}),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            &pod,
            json!({"spec": {"containers": [{"livenessProbe": {"httpGet": {"port": true}}}]}}),
            "json: cannot unmarshal bool into Go struct field \
             HTTPGetAction.spec.containers.livenessProbe.httpGet.port of type int32",
        ),
        (
            &map,
            json!({"data": {"a": true}}),
            "json: cannot unmarshal bool into Go struct field ConfigMap.data of type string",
        ),
        (&secret, json!({"data": {"a": "!"}}), "illegal base64 data at input byte 0"),
        (
            &event,
            json!({"eventTime": "now"}),
            r#"parsing time "now" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "now" as "2006""#,
        ),
    ] {
        let mut value = document.clone();
        let error = check(schema, &mut value, Unknown::Ignore).unwrap_err();
        assert_eq!(error.to_string(), words, "{document}");
    }
    let error = TypeError::of("json: wrong");
    let status = error.status(&GroupVersionKind::new("apps", "v1", "Deployment"), "Deployment");
    assert_eq!(
        (status.code, &*status.message),
        (400, r#"Deployment in version "v1" cannot be handled as a Deployment: json: wrong"#)
    );
}

#[test]
fn what_a_patch_made_is_refused_in_the_converters_words() {
    let pod = schema("", "v1", "Pod");
    for (document, words) in [
        (json!({"spec": {"priority": "high"}}), "unrecognized type: int32"),
        (json!({"spec": {"priority": 1.5}}), "cannot convert float64 to int32"),
        (json!({"metadata": {"labels": {"a": 1}}}), "cannot convert int64 to string"),
        (json!({"metadata": {"labels": {"a": true}}}), "unrecognized type: string"),
        (json!({"metadata": {"labels": "a"}}), "cannot restore map from string"),
        (json!({"spec": {"containers": {}}}), "cannot restore slice from map"),
        (json!({"spec": "a"}), "cannot restore struct from: string"),
        (json!({"spec": {"containers": [{"resources": {"limits": {"cpu": "much"}}}]}}), WRONG_FORMAT),
    ] {
        let error = check(&pod, &mut document.clone(), Unknown::Ignore).unwrap_err();
        assert_eq!(error.converted(), words, "{document}");
    }
}

#[test]
fn documents_are_brought_into_form() {
    let (pod, secret) = (schema("", "v1", "Pod"), schema("", "v1", "Secret"));
    for (case, schema, document, want) in [
        (
            "null fields are absent",
            &pod,
            json!({"metadata": {"creationTimestamp": null, "name": "a"}, "spec": null}),
            json!({"metadata": {"name": "a"}}),
        ),
        (
            "null items are empty",
            &pod,
            json!({"metadata": {"labels": {"a": null}}, "spec": {"containers": [null]}}),
            json!({"metadata": {"labels": {"a": ""}}, "spec": {"containers": [{}]}}),
        ),
        (
            "quantities",
            &pod,
            json!({"spec": {"containers": [{"resources": {"limits": {"cpu": 0.5, "memory": "1024Mi", "x": 2}}}]}}),
            json!({"spec": {"containers": [{"resources": {"limits": {"cpu": "500m", "memory": "1Gi", "x": "2"}}}]}}),
        ),
        (
            "numbers or strings",
            &pod,
            json!({"spec": {"containers": [{"livenessProbe": {"httpGet": {"port": 80}}},
                                           {"livenessProbe": {"httpGet": {"port": "http"}}}]}}),
            json!({"spec": {"containers": [{"livenessProbe": {"httpGet": {"port": 80}}},
                                           {"livenessProbe": {"httpGet": {"port": "http"}}}]}}),
        ),
        (
            "times",
            &pod,
            json!({"metadata": {"creationTimestamp": "2026-01-02T03:04:05.5+01:00"}}),
            json!({"metadata": {"creationTimestamp": "2026-01-02T02:04:05Z"}}),
        ),
        ("base64", &secret, json!({"data": {"a": "aG\nk=", "b": null}}), json!({"data": {"a": "aGk=", "b": ""}})),
        (
            "raw JSON stays",
            &pod,
            json!({"metadata": {"managedFields": [{"fieldsV1": {"f:spec": {"f:x": null}}}]}}),
            json!({"metadata": {"managedFields": [{"fieldsV1": {"f:spec": {"f:x": null}}}]}}),
        ),
    ] {
        let mut value = document;
        assert_eq!(check(schema, &mut value, Unknown::Report), Ok(vec![]), "{case}");
        assert_eq!(value, want, "{case}");
    }
}

#[test]
fn unknown_fields_are_pruned_and_named() {
    let pod = schema("", "v1", "Pod");
    let document = json!({
        "apiVersion": "v1", "kind": "Pod", "colour": 1, "metadata": {"labels": {"any": "thing"}, "size": null},
        "spec": {"containers": [{"name": "a"}, {"name": "b", "env": [{"name": "X", "wert": "1"}]}]},
    });
    let mut value = document.clone();
    let found = check(&pod, &mut value, Unknown::Report).unwrap();
    let words: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        [
            r#"unknown field "colour""#,
            r#"unknown field "metadata.size""#,
            r#"unknown field "spec.containers[1].env[0].wert""#
        ]
    );
    let mut silent = document;
    assert_eq!(check(&pod, &mut silent, Unknown::Ignore), Ok(vec![]));
    assert_eq!(silent, value);
    assert_eq!(value["spec"]["containers"][1]["env"], json!([{"name": "X"}]));

    let mut many = Value::Object((0..200).map(|i| (format!("f{i}"), json!(1))).collect());
    assert_eq!(check(&pod, &mut many, Unknown::Report).unwrap().len(), UNKNOWN_MAX);
    assert_eq!(many, json!({}));
}
