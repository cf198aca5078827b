package lambdaapi

import "encoding/base64"

// A marker is the key of the last item of a page, in a form that clients do not take apart.
func encodeMarker(key string) string {
	if key == "" {
		return ""
	}
	return base64.URLEncoding.EncodeToString([]byte("1" + key))
}

func decodeMarker(marker string) (key string, ok bool) {
	b, err := base64.URLEncoding.DecodeString(marker)
	if err != nil || len(b) < 2 || b[0] != '1' || len(b) > 300 {
		return "", false
	}
	return string(b[1:]), true
}

// page cuts a list that was read one item longer than asked for, and says after which key the next page begins.
func page[T any](all []T, limit int, key func(T) string) ([]T, string) {
	if len(all) <= limit {
		return all, ""
	}
	return all[:limit], encodeMarker(key(all[limit-1]))
}
