package api_test

import (
	"testing"

	"go.uber.org/goleak"

	"grapnel/internal/pgtest"
	"grapnel/storage/pgtemplate"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(pgtest.Main{M: m, Template: pgtemplate.Template()})
}
