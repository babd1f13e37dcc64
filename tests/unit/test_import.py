"""What `import skyharvest` gives, and what it costs."""

import subprocess
import sys
from pathlib import Path

import pytest

import skyharvest
from skyharvest import read

SCRIPTS = Path(skyharvest.__file__).parents[1]


def test_the_package_has_the_names_of_its_reader():
    assert skyharvest.__all__ == read.__all__
    assert all(getattr(skyharvest, name) is getattr(read, name) for name in read.__all__)
    assert set(read.__all__) <= set(dir(skyharvest))
    with pytest.raises(AttributeError, match="no attribute 'open_pixel'"):
        _ = skyharvest.open_pixel


def test_the_package_itself_imports_nothing():
    code = "import sys, skyharvest; print('numpy' in sys.modules, 'skyharvest.read' in sys.modules); "
    code += "from skyharvest import open_healpix; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True)
    assert done.stdout == "False False\nTrue\n"
