package storage_test

import (
	"testing"

	"go.uber.org/goleak"

	"grapnel/internal/pgtest"
	"grapnel/storage"
	"grapnel/storage/pgtemplate"
)

func TestMain(m *testing.M) {
	storage.Template = pgtemplate.Template()
	goleak.VerifyTestMain(pgtest.Main{M: m, Template: storage.Template})
}
