package api

import (
	"encoding/json"
	"net/http"

	"skerry.dev/skerry/kube/resource"
)

// objects adds what there is to do with configuration objects. They are read
// where Kubernetes has them; everything else is an operation of Skerry's.
func objects(op Operator, on func(pattern string, f operation)) {
	for _, k := range resource.Kinds() {
		on("GET "+k.Path()+"/{name}", func(w http.ResponseWriter, r *http.Request, _ string) error {
			doc, err := op.Object(r.Context(), k.Name, r.PathValue("name"))
			return document(w, doc, err)
		})
		on("GET "+k.Path(), answer(func(r *http.Request, _ string, _ struct{}) (objectList, error) {
			docs, err := op.Objects(r.Context(), k.Name)
			list := objectList{APIVersion: "v1", Kind: "List", Items: make([]json.RawMessage, len(docs))}
			for i, doc := range docs {
				list.Items[i] = doc
			}
			return list, err
		}))
	}
	on("POST "+Prefix+"/objects/apply", answer(func(r *http.Request, actor string, q ApplyRequest) (Applied, error) {
		return op.ApplyObject(r.Context(), q, actor)
	}))
	on("POST "+Prefix+"/objects/delete", answer(func(r *http.Request, actor string, q ObjectName) (struct{}, error) {
		return struct{}{}, op.DeleteObject(r.Context(), q, actor)
	}))
	on("POST "+Prefix+"/objects/reveal", func(w http.ResponseWriter, r *http.Request, actor string) error {
		var q ObjectName
		if err := readJSON(r, &q); err != nil {
			return err
		}
		doc, err := op.Reveal(r.Context(), q, actor)
		return document(w, doc, err)
	})
}

// objectList is a list as kubectl prints it.
type objectList struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Items      []json.RawMessage `json:"items"`
}

func document(w http.ResponseWriter, doc []byte, err error) error {
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", contentJSON)
	_, err = w.Write(doc)
	return err
}
