package stack

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"grapnel/internal/config"
	"grapnel/internal/hook"
)

// forwarded are the product's flags with which a process of --processes=split gets the same
// configuration: all but secrets, which a process list would show.
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

// flagText is a flag's value as the flag reads it.
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
