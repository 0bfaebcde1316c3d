using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Security;
using System.Text;

namespace GmapNative.TraceReport;

/// <summary>Where a time is across the page.</summary>
internal sealed class TimeAxis(double seconds)
{
    public const double Left = 84;
    public const double Width = 800;

    public double Seconds => seconds;

    public double X(double at) => Left + (Math.Clamp(at / seconds, 0, 1) * Width);

    public IEnumerable<double> Ticks()
    {
        double step = Scale.Step(seconds / 8);
        for (int i = 0; i * step <= seconds * 1.0001; i++)
        {
            yield return i * step;
        }
    }
}

/// <summary>Where a value is in a panel: linear, or by powers of ten where the values are far apart.</summary>
internal sealed class Scale
{
    private const double MostLinear = 30;

    private readonly double _low;
    private readonly double _high;
    private readonly double _step;

    public Scale(IReadOnlyCollection<double> values, bool counts)
    {
        double highest = values.DefaultIfEmpty(0).Max();
        double lowest = values.Where(value => value > 0).DefaultIfEmpty(1).Min();
        IsLogarithmic = !counts && highest > MostLinear * lowest;
        _step = counts ? Math.Max(1, Step(highest / 3)) : Step(highest / 3);
        _low = IsLogarithmic ? Math.Floor(Math.Log10(lowest)) - 0.3 : 0;
        _high = IsLogarithmic ? Math.Ceiling(Math.Log10(highest)) : Math.Max(_step, Math.Ceiling(highest / _step) * _step);
    }

    public bool IsLogarithmic { get; }

    /// <summary>0 at the bottom, 1 at the top; zero lies on the bottom of a logarithmic scale.</summary>
    public double Of(double value) => !IsLogarithmic ? value / _high
        : value <= 0 ? 0 : Math.Max(0, (Math.Log10(value) - _low) / (_high - _low));

    public IEnumerable<double> Ticks()
    {
        if (IsLogarithmic)
        {
            double stride = Math.Max(1, Math.Ceiling((_high - _low) / 4));
            for (double power = _high; power >= _low; power -= stride)
            {
                yield return Math.Pow(10, power);
            }
            yield break;
        }
        for (int i = 0; i * _step <= _high * 1.0001; i++)
        {
            yield return i * _step;
        }
    }

    /// <summary>The next of 1, 2, 5, 10, 20... that is not smaller.</summary>
    public static double Step(double least)
    {
        if (least <= 0)
        {
            return 1;
        }
        double power = Math.Pow(10, Math.Floor(Math.Log10(least)));
        double[] steps = [1, 2, 5, 10];
        return steps.First(step => step * power >= least * 0.9999) * power;
    }
}

/// <summary>Lays the panels out below each other and writes the SVG text.</summary>
internal sealed class Page
{
    private const double PanelHeight = 104;
    private const double Gap = 44;
    private const double Top = 78;
    private const double Right = TimeAxis.Left + TimeAxis.Width;
    private const string Red = "#b3261e";

    private readonly StringBuilder _text = new();
    private readonly TimeAxis _time;
    private readonly string _title;
    private readonly string _subtitle;
    private double _panel = Top; // the top edge of the next panel

    public Page(string title, string subtitle, TimeAxis time)
    {
        _title = title;
        _subtitle = subtitle;
        _time = time;
    }

    private double Bottom => _panel + PanelHeight;

    public void AddColumns(string id, string title, int count, Columns columns)
    {
        var scale = new Scale([columns.Highest], counts: true);
        Begin(id, title, count, scale);
        double width = TimeAxis.Width / columns.Series[0].Counts.Length;
        int[] below = new int[columns.Series[0].Counts.Length];
        double legend = Right;
        foreach (Series series in Enumerable.Reverse(columns.Series))
        {
            legend = Legend(legend, series.Name, series.Colour, series.Counts.Sum());
        }
        foreach (Series series in columns.Series)
        {
            var path = new StringBuilder();
            for (int bin = 0; bin < series.Counts.Length; bin++)
            {
                double foot = Y(scale, below[bin]);
                below[bin] += series.Counts[bin];
                double head = Y(scale, below[bin]);
                if (series.Counts[bin] > 0)
                {
                    Append(path, $"M{TimeAxis.Left + (bin * width):0.#} {foot:0.#}V{head:0.#}h{width:0.##}V{foot:0.#}z");
                }
            }
            Add($"<path d=\"{path}\" fill=\"{series.Colour}\"/>");
        }
        EndPanel();
    }

    public void AddMarks(string id, string title, int count, List<Mark> marks, string colour)
    {
        var scale = new Scale([.. marks.Select(mark => mark.Value)], counts: false);
        Begin(id, title, count, scale);
        if (marks.Any(mark => mark.Failed))
        {
            _ = Legend(Right, "failed", Red, marks.Count(mark => mark.Failed));
        }
        foreach (bool failed in new[] { false, true })
        {
            var stems = new StringBuilder();
            var heads = new StringBuilder();
            foreach (Mark mark in marks.Where(mark => mark.Failed == failed))
            {
                double x = _time.X(mark.Begin);
                double width = Math.Max(1.2, _time.X(mark.End) - x);
                double y = Y(scale, mark.Value);
                Append(stems, $"M{x:0.#} {Bottom:0.#}V{y:0.#}h{width:0.#}V{Bottom:0.#}z");
                Append(heads, $"M{x + (width / 2):0.#} {y:0.#}h0"); // a round cap of no length: a dot
            }
            string ink = failed ? Red : colour;
            Add($"<path d=\"{stems}\" fill=\"{ink}\" fill-opacity=\".45\"/>");
            Add($"<path d=\"{heads}\" stroke=\"{ink}\" stroke-width=\"4.5\" stroke-linecap=\"round\" fill=\"none\"/>");
        }
        EndPanel();
    }

    /// <summary>A dashed line across all panels where logging was turned on.</summary>
    public void AddArmings(IEnumerable<double> times)
    {
        string[] places = [.. times.Select(at => _time.X(at).ToString("0.#", CultureInfo.InvariantCulture))];
        var path = new StringBuilder();
        foreach (string x in places.Distinct())
        {
            for (double panel = Top; panel < _panel; panel += PanelHeight + Gap)
            {
                Append(path, $"M{x} {panel:0.#}v{PanelHeight:0.#}");
            }
        }
        Add($"<g id=\"armings\" data-count=\"{places.Length}\"><path d=\"{path}\" stroke=\"#444\" stroke-dasharray=\"3 3\" fill=\"none\"/>");
        if (places.Length > 0)
        {
            Add($"<text x=\"{places[0]}\" y=\"{Top - 22:0.#}\" class=\"small\">¦ logging turned on</text>");
        }
        _text.Append("</g>\n");
    }

    public string End()
    {
        double height = _panel - Gap + 48;
        var whole = new StringBuilder();
        Append(whole, $"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 920 {height:0}\" width=\"920\" height=\"{height:0}\"");
        Append(whole, $" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"#222\" role=\"img\">\n");
        Append(whole, $"<title>{Escape(_title)}</title>\n<style>.small{{font-size:11px;fill:#555}}.head{{font-weight:bold}}</style>\n");
        Append(whole, $"<rect width=\"920\" height=\"{height:0}\" fill=\"#fff\"/>\n");
        Append(whole, $"<text x=\"{TimeAxis.Left}\" y=\"24\" font-size=\"17\" font-weight=\"bold\">{Escape(_title)}</text>\n");
        Append(whole, $"<text x=\"{TimeAxis.Left}\" y=\"42\" class=\"small\">{Escape(_subtitle)}</text>\n");
        whole.Append(_text);
        double foot = _panel - Gap;
        foreach (double tick in _time.Ticks())
        {
            Append(whole, $"<text x=\"{_time.X(tick):0.#}\" y=\"{foot + 16:0.#}\" text-anchor=\"middle\" class=\"small\">{tick:0.####}</text>\n");
        }
        Append(whole, $"<text x=\"{Right}\" y=\"{foot + 34:0.#}\" text-anchor=\"end\">time in seconds</text>\n</svg>\n");
        return whole.ToString();
    }

    private void Begin(string id, string title, int count, Scale scale)
    {
        Add($"<g id=\"{id}\" data-count=\"{count}\">");
        string kind = scale.IsLogarithmic ? " (powers of ten)" : "";
        Add($"<text x=\"{TimeAxis.Left}\" y=\"{_panel - 7:0.#}\" class=\"head\">{Escape(title)}{kind}</text>");
        foreach (double tick in scale.Ticks())
        {
            double y = Y(scale, tick);
            Add($"<path d=\"M{TimeAxis.Left} {y:0.#}H{Right}\" stroke=\"#ddd\"/>");
            (double scaled, string unit) = tick >= 1e6 ? (tick / 1e6, "M") : tick >= 1e4 ? (tick / 1e3, "k") : (tick, "");
            string label = scaled.ToString("0.######", CultureInfo.InvariantCulture) + unit;
            Add($"<text x=\"{TimeAxis.Left - 8}\" y=\"{y + 4:0.#}\" text-anchor=\"end\" class=\"small\">{label}</text>");
        }
        foreach (double tick in _time.Ticks())
        {
            Add($"<path d=\"M{_time.X(tick):0.#} {Bottom:0.#}v4\" stroke=\"#222\"/>");
        }
    }

    private void EndPanel()
    {
        Add($"<path d=\"M{TimeAxis.Left} {_panel:0.#}V{Bottom:0.#}H{Right}\" stroke=\"#222\" fill=\"none\"/>");
        _text.Append("</g>\n");
        _panel += PanelHeight + Gap;
    }

    /// <summary>One entry, right-aligned at <paramref name="right"/>; where the next one ends.</summary>
    private double Legend(double right, string name, string colour, int count)
    {
        string text = string.Create(CultureInfo.InvariantCulture, $"{name}: {count:N0}");
        double left = right - (text.Length * 6.2);
        Add($"<text x=\"{left:0.#}\" y=\"{_panel - 7:0.#}\" class=\"small\">{Escape(text)}</text>");
        Add($"<rect x=\"{left - 14:0.#}\" y=\"{_panel - 16:0.#}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>");
        return left - 28;
    }

    private double Y(Scale scale, double value) => Bottom - (scale.Of(value) * PanelHeight);

    private static string Escape(string text) => SecurityElement.Escape(text)!;

    private void Add(FormattableString line) => Append(_text, line).Append('\n');

    private static StringBuilder Append(StringBuilder text, FormattableString part) => text.Append(part.ToString(CultureInfo.InvariantCulture));
}
