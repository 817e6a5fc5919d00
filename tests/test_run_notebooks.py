"""Notebooks without their data are skipped, and no other error passes for that."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from tests.run_notebooks import main


@pytest.mark.slow  # kernels take seconds to start
@pytest.mark.parametrize(
    ("source", "code", "printed"),
    [
        ("1 + 1", 0, "ok"),
        ("raise SystemExit('the data are not there')", 0, "the data are not there"),
        ("raise ValueError('no data')", 1, "failed"),
    ],
)
def test_how_a_notebook_ends(tmp_path, capsys, source, code, printed):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    path = tmp_path / "one.ipynb"
    nbformat.write(notebook, path)
    before = path.read_bytes()
    assert main([str(path)]) == code
    assert printed in capsys.readouterr().out
    assert path.read_bytes() == before


@pytest.mark.slow
def test_outputs_are_written_unless_it_was_skipped(tmp_path):
    for name, source in [("ran", "print('here')"), ("skipped", "raise SystemExit('no data')")]:
        cell = nbformat.v4.new_code_cell(source)
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / f"{name}.ipynb")
    skipped = (tmp_path / "skipped.ipynb").read_bytes()
    assert main(["--write", str(tmp_path)]) == 0
    ran = nbformat.read(tmp_path / "ran.ipynb", as_version=4).cells[0]
    assert ran.outputs[0].text == "here\n"
    assert "execution" not in ran.metadata
    assert (tmp_path / "skipped.ipynb").read_bytes() == skipped


@pytest.mark.slow
def test_notebooks_on_data_that_may_not_be_shipped_are_skipped_without_them(
    tmp_path, capsys, monkeypatch
):
    folder = Path(__file__).parents[1] / "notebooks"
    paths = [next(folder.glob(f"{number}_*.ipynb")) for number in ("06", "07", "08", "09")]
    monkeypatch.chdir(tmp_path.parent)
    monkeypatch.setenv("RANKER_DATA", tmp_path.name)
    assert main(list(map(str, paths))) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [": skipped, " in line and str(tmp_path) in line for line in lines] == [True] * 4
