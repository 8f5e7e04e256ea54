package stack

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"grapnel/internal/config"
	"grapnel/internal/hook"
)

// forwarded returns the product's flags that give a process of --processes=split the same configuration. Secrets are
// left out, because a process list would show them.
func forwarded(c config.Config) []string {
	var args []string
	for _, f := range kong.Must(&c).Model.Flags {
		value := f.Target
		if f.Name == "help" || value.Type() == reflect.TypeFor[hook.Secret]() || value.IsZero() && value.Kind() == reflect.Slice {
			continue
		}
		args = append(args, "--"+f.Name+"="+flagText(value))
	}
	return args
}

// flagText formats a flag's value in the form that the flag accepts.
func flagText(v reflect.Value) string {
	if v.Kind() != reflect.Slice {
		return fmt.Sprint(v.Interface())
	}
	var list []string
	for i := range v.Len() {
		list = append(list, fmt.Sprint(v.Index(i).Interface()))
	}
	return strings.Join(list, ",")
}
