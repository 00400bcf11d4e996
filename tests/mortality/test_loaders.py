"""Readers: compact copies and the publishers' own layouts, in miniature."""

import gzip

import pandas as pd
import pytest

from gradiverse import mortality
from gradiverse.mortality import _sources, loaders, study


def write(path, text, encoding="utf-8"):
    data = text.encode(encoding)
    if str(path).endswith(".gz"):
        data = gzip.compress(data)
    path.write_bytes(data)
    return path


HEAD = "REG,PROV,NOME_REGIONE,NOME_PROVINCIA,NOME_COMUNE,COD_PROVCOM,TIPO_COMUNE,"
TOWN_DAY = (
    HEAD
    + """CL_ETA,GE,M_19,M_20,F_19,F_20,T_19,T_20
02,007,Valle d'Aosta/Vallée d'Aoste,Aosta,Aosta,007003,1,15,0101,1,2,0,1,1,3
02,007,Valle d'Aosta/Vallée d'Aoste,Aosta,Aosta,007003,1,15,0112,0,1,2,0,2,1
02,007,Valle d'Aosta/Vallée d'Aoste,Aosta,Aosta,007003,1,0,0229,0,0,0,4,0,4
02,007,Valle d'Aosta/Vallée d'Aoste,Aosta,Ayas,007007,1,15,0101,5,n.d.,5,n.d.,10,n.d.
"""
)


def test_town_day_file(tmp_path):
    """ISTAT's daily file: Latin-1, fixed-date periods, towns without 2020 left out."""
    path = write(tmp_path / "comuni_giornaliero.csv", TOWN_DAY, "latin-1")
    d = mortality.load_italy(path)
    assert set(d.unit) == {"Valle d'Aosta"} and set(d.sex) == {"male", "female"}
    assert d.deaths.sum() == 3 + 8  # 2019: 1 + 2; 2020: 2 + 1 + 1 + 4; Ayas is out
    cell = d.set_index(["age", "sex", "year", "week"]).deaths
    assert cell[(15, "male", 2020, 0)] == 2 and cell[(15, "female", 2019, 1)] == 2
    assert cell[(0, "female", 2020, 7)] == 4 and cell[(0, "female", 2019, 7)] == 0
    assert d[(d.week == 7)].groupby("year").days.first().to_dict() == {2019: 6, 2020: 7}
    assert "1 town(s) without data" in d.attrs["notes"][0]
    assert study.sniff(path) == "italy"
    early = (
        TOWN_DAY.replace("n.d.", "9999")
        .replace("M_", "MASCHI_")
        .replace("F_", "FEMMINE_")
    )
    other = mortality.load_italy(write(tmp_path / "comune_giorno.csv", early))
    pd.testing.assert_frame_equal(d, other)


def test_compact_italy(tmp_path):
    text = (
        "year,period,region,age_class,male,female,total\n"
        "2019,0,Trentino Alto Adige / Südtirol,3,1,2,3\n"
        "2019,7,Friuli-Venezia Giulia,3,4,5,9\n"
    )
    d = mortality.load_italy(write(tmp_path / "i.csv.gz", text))
    assert set(d.unit) == {"Trentino-Alto Adige/Südtirol", "Friuli Venezia Giulia"}
    assert d.deaths.sum() == 12 and d.days.tolist() == [11, 6, 11, 6]
    with pytest.raises(ValueError, match="no provinces"):
        mortality.load_italy(tmp_path / "i.csv.gz", level="province")
    with pytest.raises(ValueError, match="neither ISTAT's town-day"):
        mortality.load_italy(write(tmp_path / "x.csv", "a,b\n1,2\n"))


def test_stmf_inputs(tmp_path):
    """Input files by country: unknown weeks dropped, both sexes taken or summed."""
    text = (
        "PopCode,Area,Year,Week,Sex,Age,AgeInterval,Deaths,Type,Access\n"
        "SWE,,2019,1,m,TOT,TOT,10,O,O\nSWE,,2019,1,f,TOT,TOT,12,O,O\n"
        "SWE,,2019,UNK,m,TOT,TOT,3,O,O\nSWE,,2019,UNK,f,TOT,TOT,4,O,O\n"
        "SWE,,2019,2,b,TOT,TOT,30,O,O\nSWE,,2019,2,m,TOT,TOT,14,O,O\n"
        "SWE,,2019,2,f,TOT,TOT,15,O,O\n"
    )
    path = write(tmp_path / "SWEstmf.csv", text)
    d = mortality.load_stmf(path).set_index("week").deaths
    assert d.to_dict() == {1: 22, 2: 30}
    assert "UNK" in mortality.load_stmf(path).attrs["notes"][0]
    sexes = mortality.load_stmf(path, by_sex=True)
    assert sexes.deaths.tolist() == [10, 12, 14, 15]
    assert study.sniff(path) == "stmf"


def test_stmf_pooled_output(tmp_path):
    text = (
        "# HMD\n# comment, with commas, more commas\n"
        "CountryCode,Year,Week,Sex,D0_14,D15_64,D65_74,D75_84,D85p,DTotal,R0_14,RTotal\n"
        "AUT,2019,1,m,1.5,20,30,40,8.5,100,.1,.2\n"
        "AUT,2019,1,f,1,20,30,40,9,100,.1,.2\nAUT,2019,1,b,2.5,40,60,80,17.5,200,.1,.2\n"
    )
    path = write(tmp_path / "stmf.csv", text)
    d = mortality.load_stmf(path)
    assert d[d.age == "TOT"].deaths.tolist() == [200]
    assert set(d.age) == {"0-14", "15-64", "65-74", "75-84", "85+", "TOT"}
    assert any("rounded" in n for n in d.attrs["notes"])
    with pytest.raises(ValueError, match="not an STMF file"):
        mortality.load_stmf(write(tmp_path / "y.csv", "a,b\n1,2\n"))


def test_economist_layouts(tmp_path):
    head = "country,region,region_code,start_date,end_date,days,year,week,population,"
    text = head + "total_deaths,covid_deaths,expected_deaths\n"
    text += "Chile,Chile,0,2019-12-30,2020-01-05,7,2020,1,19000000,2100,0,2000\n"
    d = mortality.load_economist(write(tmp_path / "c.csv", text))
    assert d.unit.tolist() == ["Chile"] and d.deaths.tolist() == [2100]
    assert "days" not in d
    iran = text + "Iran,Iran,0,2019-12-30,2020-01-05,7,2020,1,8e7,7917.9,0,7000\n"
    d = mortality.load_economist(write(tmp_path / "f.csv", iran))
    assert d.deaths.tolist() == [2100, 7918]
    assert "1 fractional counts are rounded (Iran)" in d.attrs["notes"][0]
    month = text.replace(",week,", ",month,") + (
        "Chile,Chile,0,2020-02-01,2020-02-29,29,2020,2,19000000,8000,0,7000\n"
    )
    d = mortality.load_economist(write(tmp_path / "m.csv", month))
    assert d.days.tolist() == [7, 29] and d.week.tolist() == [1, 2]
    states = (
        "region,region_code,year,week,population,total_deaths\n"
        "Ohio,OH,2020,1,11689100,2500\n"
    )
    assert mortality.load_economist(write(tmp_path / "s.csv", states)).unit[0] == "Ohio"


def test_cdc_layouts(tmp_path):
    text = (
        "Jurisdiction of Occurrence,MMWR Year,MMWR Week,Week Ending Date,All  Cause,"
        'Natural Cause\nAlabama,2019,1,01/05/2019,"1,077",993\nNew York,2019,1,,1000,\n'
        "New York City,2019,1,,500,\nPuerto Rico,2019,1,,9,\nUnited "
        "States,2019,1,,3000,\n"
    )
    path = write(tmp_path / "cdc.csv", text)
    d = mortality.load_cdc(path).set_index("unit").deaths
    assert d["Alabama"] == 1077 and d["United States"] == 3000
    s = mortality.load_cdc(path, states_only=True).set_index("unit").deaths
    assert s.to_dict() == {"Alabama": 1077, "New York": 1500}
    assert study.sniff(path) == "cdc"


def test_cdc_publications_without_names(tmp_path):
    """Names are filled by alphabetical order where all rows are there."""
    rows = ["snapshot,jurisdiction,year,week,number_of_deaths"]
    rows += [
        f"20200901,{u},2020,{w},{n}"
        for u, n in (("Alabama", 10), ("Ohio", 20))
        for w in (1, 2)
    ]
    rows += ["20200908,,2020,1,11", "20200908,,2020,1,21", "20200908,,2020,2,22"]
    d = mortality.load_cdc(write(tmp_path / "v.csv", "\n".join(rows) + "\n"))
    late = d[d.snapshot == 20200908].set_index("unit").deaths
    assert late.to_dict() == {"Alabama": 11, "Ohio": 21}
    assert (
        "2 are named" in d.attrs["notes"][0] and "1 are left out" in d.attrs["notes"][0]
    )


def test_official_layout_of_the_publisher(tmp_path):
    text = (
        "data,stato,codice_regione,denominazione_regione,deceduti,totale_casi,tamponi\n"
        "2020-05-09T17:00:00,ITA,21,P.A. Bolzano,290,2500,40000\n"
        "2020-05-09T17:00:00,ITA,22,P.A. Trento,438,4300,59000\n"
    )
    d = loaders.load_official(write(tmp_path / "o.csv", text))
    assert d.deaths.tolist() == [728] and d.date[0] == pd.Timestamp("2020-05-09")


@pytest.mark.parametrize(
    ("text", "weeks", "years"),
    [
        ("Region;Year;ISO_Week;Total_Deaths\na;2020;9;5\n", [9], [2020]),
        ("country_name,week,deaths\na,2020-W09,5\n", [9], [2020]),
        ("unit,start_date,end_date,deaths\na,2019-12-30,2020-01-05,5\n", [1], [2020]),
        ("unit,week_ending,deaths\na,2020-01-04,5\n", [1], [2020]),
        (
            "iso3c,country_name,year,time,time_unit,deaths\nX,a,2020,9,weekly,5\n",
            [9],
            [2020],
        ),
    ],
)
def test_tidy_aliases_and_dates(tmp_path, text, weeks, years):
    d = mortality.load_tidy(write(tmp_path / "t.csv", text))
    assert d.week.tolist() == weeks and d.year.tolist() == years
    assert d.unit.tolist() == ["a"] and d.deaths.tolist() == [5]


def test_tidy_unequal_periods(tmp_path):
    text = "unit,start,end,deaths\n" + "".join(
        f"a,{y}-01-01,{y}-01-11,50\na,{y}-01-12,{y}-01-18,30\n" for y in (2019, 2020)
    )
    d = mortality.load_tidy(write(tmp_path / "p.csv", text))
    assert d.days.tolist() == [11, 7] * 2 and d.week.tolist() == [0, 1] * 2


def test_tidy_takes_frames_and_refuses_nonsense(tmp_path):
    frame = pd.DataFrame({"state": ["a"], "Year": [2020], "Week": [3], "Deaths": [4]})
    assert mortality.load_tidy(frame).columns.tolist() == [
        "unit",
        "year",
        "week",
        "deaths",
    ]
    for text, words in (
        ("unit,year,week\na,2020,1\n", "no column for deaths"),
        ("unit,deaths\na,5\n", "no year and week"),
        ("unit,start,deaths\na,soon,5\n", "unreadable date"),
        ("unit,year,week,deaths\na,2020,1,lots\n", "'lots'"),
        ("unit,start,end,deaths\na,2020-02-01,2020-01-01,5\n", "ends before"),
    ):
        with pytest.raises(ValueError, match=words):
            mortality.load_tidy(write(tmp_path / "bad.csv", text))
    with pytest.raises(FileNotFoundError):
        mortality.load_tidy(tmp_path / "none.csv")


def test_files_are_found(tmp_path, monkeypatch):
    """A folder, its mortality folder, GRADIVERSE_DATA; otherwise a message that says
    so.
    """
    text = "popcode,year,week,age,deaths\nAUT,2019,1,TOT,5\n"
    (tmp_path / "mortality").mkdir()
    file = write(tmp_path / "mortality" / _sources.FILES["stmf"], text)
    assert mortality.load_stmf(tmp_path).deaths.tolist() == [5]
    assert mortality.load_stmf(tmp_path / "mortality").deaths.tolist() == [5]
    monkeypatch.setenv("GRADIVERSE_DATA", str(tmp_path))
    assert mortality.load_stmf().deaths.tolist() == [5]
    assert _sources.find("stmf") == file
    with pytest.raises(FileNotFoundError, match="GRADIVERSE_DATA"):
        mortality.load_cdc()
    monkeypatch.delenv("GRADIVERSE_DATA")
    with pytest.raises(FileNotFoundError, match="not found"):
        mortality.load_stmf()
    with pytest.raises(FileNotFoundError, match="does not exist"):
        mortality.load_stmf(tmp_path / "nowhere")


def test_cache_is_checked(tmp_path, monkeypatch):
    """A cached download that changed since its first arrival is refused."""
    monkeypatch.delenv("GRADIVERSE_DATA", raising=False)
    monkeypatch.setenv("GRADIVERSE_CACHE", str(tmp_path))
    file = write(
        tmp_path / "stmf.csv", "popcode,year,week,age,deaths\nA,2019,1,TOT,5\n"
    )
    (tmp_path / "stmf.csv.sha256").write_text(_sources.sha256(file) + "  stmf.csv\n")
    assert mortality.load_stmf(download=True).deaths.tolist() == [5]
    file.write_text("changed")
    with pytest.raises(OSError, match="checksum"):
        mortality.load_stmf(download=True)


def test_offline_download_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIVERSE_CACHE", str(tmp_path))
    monkeypatch.setitem(_sources.URLS, "stmf", "http://127.0.0.1:9/none.csv")
    assert _sources.fetch("stmf", timeout=0.2) is None


@pytest.mark.data
def test_real_files(folder):
    """Every file of the data folder loads and has the rows its notes promise."""
    assert len(mortality.load_italy(folder)) == 132000
    assert mortality.load_economist(folder).unit.nunique() == 46
    us = mortality.load_economist(folder / _sources.FILES["economist_us"])
    assert us.unit.nunique() == 52
    assert mortality.load_cdc(folder).unit.nunique() == 54
    assert mortality.load_cdc(folder, states_only=True).unit.nunique() == 51
    assert mortality.load_stmf(folder).unit.nunique() == 38
    v = mortality.load_cdc(folder / _sources.FILES["cdc_vintages"])
    assert v.snapshot.nunique() == 22 and v.unit.notna().all()
    first = mortality.load_italy(
        folder / "italy_vintage_mar21_province_week_age_sex_partial.csv.gz",
        level="province",
    )
    assert "Bergamo" in set(first.unit)
